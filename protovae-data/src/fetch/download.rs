//! One file from one of several addresses.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::thread;

use ureq::http::{HeaderMap, StatusCode, Uri, header};
use ureq::{Agent, Body};

use super::{FetchOptions, Reporter, Step, part};
use crate::{DataError, digest};

/// Redirects followed for one request.
const MAX_REDIRECTS: u32 = 5;

/// However much progress each makes, no more requests than this go to one address for one file.
const MAX_REQUESTS: u32 = 100;

/// Sends requests.
pub(super) struct Client<'a> {
    agent: Agent,
    options: &'a FetchOptions,
}

/// Why a request did not give the file.
enum Trouble {
    /// It may go better next time.
    Broken { reason: String },
    /// The server cannot continue the part that is there.
    CannotContinue { reason: String },
    /// This address does not have the file.
    Refused { reason: String },
    /// The disk is at fault: no address would help.
    Disk(DataError),
}

impl From<DataError> for Trouble {
    fn from(error: DataError) -> Self {
        Self::Disk(error)
    }
}

/// Why an address was given up.
enum Surrender {
    Reason(String),
    Disk(DataError),
}

impl From<DataError> for Surrender {
    fn from(error: DataError) -> Self {
        Self::Disk(error)
    }
}

impl<'a> Client<'a> {
    pub(super) fn new(options: &'a FetchOptions) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(MAX_REDIRECTS)
            .user_agent(concat!("protovae/", env!("CARGO_PKG_VERSION")))
            // A file packed once more for the way would have another length.
            .accept_encoding("identity")
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_recv_response(Some(options.idle_timeout))
            .timeout_per_read(Some(options.idle_timeout))
            .timeout_per_write(Some(options.idle_timeout))
            .build();
        Self {
            agent: Agent::new_with_config(config),
            options,
        }
    }

    /// Fetches a file, checks it and puts it in its place.
    pub(super) fn fetch(
        &self,
        target: &Path,
        addresses: &[String],
        reporter: &mut Reporter<'_>,
    ) -> Result<(), DataError> {
        let part = part::path_of(target);
        let mut failures = Vec::new();
        for address in addresses {
            match self.try_address(address, &part, reporter) {
                Ok(()) => {
                    part::finish(&part, target)?;
                    reporter.tell(Step::Finished, reporter.file.length, address, "");
                    return Ok(());
                }
                Err(Surrender::Reason(reason)) => failures.push((address.clone(), reason)),
                Err(Surrender::Disk(error)) => return Err(error),
            }
        }
        Err(DataError::Fetch {
            file: reporter.file.name.to_string(),
            failures,
        })
    }

    /// Brings the part to its full length from one address, with a check of its digest.
    fn try_address(
        &self,
        address: &str,
        part: &Path,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), Surrender> {
        let length = reporter.file.length;
        let mut fruitless = 0;
        // The longest part so far: only what goes beyond it is progress.
        let mut longest = part::length(part)?;
        let mut restarted = false;
        // Whether what is there came from this address in this call: then a wrong digest is the server's fault.
        let mut own = false;
        for _ in 0..MAX_REQUESTS {
            let mut have = part::length(part)?;
            if have >= length && !own {
                if have == length && check(part, address, reporter)?.is_none() {
                    return Ok(());
                }
                part::remove(part)?;
                have = 0;
                longest = 0;
            }
            own = own || have == 0;
            match self.request(address, part, have, reporter) {
                Ok(started_over) => {
                    own = own || started_over;
                    match check(part, address, reporter)? {
                        None => return Ok(()),
                        Some(found) => {
                            part::remove(part)?;
                            let reason = format!(
                                "it sent a file with SHA-256 {found} where {} is published",
                                reporter.file.sha256
                            );
                            reporter.tell(Step::Failed, 0, address, &reason);
                            if own {
                                return Err(Surrender::Reason(reason));
                            }
                            // An older part was continued and may have been at fault: once more from the beginning.
                        }
                    }
                }
                Err(Trouble::Broken { reason }) => {
                    let now = part::length(part)?;
                    fruitless = if now > longest { 0 } else { fruitless + 1 };
                    longest = longest.max(now);
                    reporter.tell(Step::Failed, now, address, &reason);
                    if fruitless >= self.options.attempts.max(1) {
                        return Err(Surrender::Reason(reason));
                    }
                    thread::sleep(self.options.pause);
                }
                Err(Trouble::CannotContinue { reason }) => {
                    reporter.tell(Step::Failed, have, address, &reason);
                    part::remove(part)?;
                    if restarted {
                        return Err(Surrender::Reason(reason));
                    }
                    restarted = true;
                }
                Err(Trouble::Refused { reason }) => {
                    reporter.tell(Step::Failed, have, address, &reason);
                    return Err(Surrender::Reason(reason));
                }
                Err(Trouble::Disk(error)) => return Err(Surrender::Disk(error)),
            }
        }
        Err(Surrender::Reason(format!(
            "it broke off {MAX_REQUESTS} times"
        )))
    }

    /// Sends one request and appends what comes to the part. Whether the part was begun anew.
    fn request(
        &self,
        address: &str,
        part: &Path,
        have: u64,
        reporter: &mut Reporter<'_>,
    ) -> Result<bool, Trouble> {
        let mut request = self.agent.get(address);
        if is_this_machine(address) {
            request = request.config().proxy(None).build();
        }
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        reporter.tell(Step::Downloading, have, address, "");
        let response = request.call().map_err(|error| self.trouble(error))?;
        let offset = accepted_offset(response.status(), response.headers(), have, reporter)?;
        self.receive(response.into_body(), address, part, offset, reporter)?;
        Ok(offset == 0)
    }

    fn receive(
        &self,
        mut body: Body,
        address: &str,
        part: &Path,
        offset: u64,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), Trouble> {
        let length = reporter.file.length;
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(offset == 0)
            .append(offset != 0)
            .open(part)
            .map_err(|source| DataError::write(part, source))?;
        let mut reader = body.as_reader();
        let mut chunk = vec![0; digest::CHUNK];
        let mut done = offset;
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Trouble::Broken {
                        reason: format!(
                            "it broke off after {done} of {length} bytes: {}",
                            self.wording(&ureq::Error::from(error))
                        ),
                    });
                }
            };
            if count == 0 {
                break;
            }
            if count as u64 > length - done {
                drop(file);
                part::remove(part)?;
                return Err(Trouble::Refused {
                    reason: format!("it sends more than the {length} bytes of the file"),
                });
            }
            file.write_all(chunk.get(..count).unwrap_or_default())
                .map_err(|source| DataError::write(part, source))?;
            done += count as u64;
            reporter.tell(Step::Downloading, done, address, "");
        }
        if done < length {
            return Err(Trouble::Broken {
                reason: format!("it broke off after {done} of {length} bytes"),
            });
        }
        Ok(())
    }

    fn trouble(&self, error: ureq::Error) -> Trouble {
        use ureq::Error::{ConnectionFailed, HostNotFound, Io, Protocol, Timeout};
        let reason = self.wording(&error);
        match error {
            ConnectionFailed | HostNotFound | Io(_) | Protocol(_) | Timeout(_) => {
                Trouble::Broken { reason }
            }
            _ => Trouble::Refused { reason },
        }
    }

    fn wording(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                format!("no connection within {:?}", self.options.connect_timeout)
            }
            ureq::Error::Timeout(_) => {
                format!("it sent nothing for {:?}", self.options.idle_timeout)
            }
            ureq::Error::HostNotFound => "the server's name is not known".to_string(),
            ureq::Error::TooManyRedirects => {
                format!("it redirects more than {MAX_REDIRECTS} times")
            }
            other => other.to_string(),
        }
    }
}

/// The digest of a whole part where it is not the published one.
fn check(
    part: &Path,
    address: &str,
    reporter: &mut Reporter<'_>,
) -> Result<Option<String>, DataError> {
    let (_, found) = digest::of_file(part, &mut |done| {
        reporter.tell(Step::Checking, done, address, "");
    })?;
    Ok((found != reporter.file.sha256).then_some(found))
}

/// Where in the file the body of a response begins, if the response fits the file and what is there of it.
fn accepted_offset(
    status: StatusCode,
    headers: &HeaderMap,
    have: u64,
    reporter: &Reporter<'_>,
) -> Result<u64, Trouble> {
    let length = reporter.file.length;
    let offset = match status.as_u16() {
        200 => 0,
        206 if have > 0 => {
            let range = text(headers, header::CONTENT_RANGE);
            if !continues(range, have, length) {
                return Err(Trouble::CannotContinue {
                    reason: format!(
                        "asked for the bytes from {have} of {length} on, it sends `{range}`"
                    ),
                });
            }
            have
        }
        416 if have > 0 => {
            return Err(Trouble::CannotContinue {
                reason: format!("it has no bytes from {have} on, where the file has {length}"),
            });
        }
        408 | 425 | 429 | 500..=599 => {
            return Err(Trouble::Broken {
                reason: format!("it answers {status}"),
            });
        }
        _ => {
            return Err(Trouble::Refused {
                reason: format!("it answers {status}"),
            });
        }
    };
    let announced = text(headers, header::CONTENT_LENGTH);
    if !announced.is_empty() && announced.parse() != Ok(length - offset) {
        return Err(Trouble::Refused {
            reason: format!(
                "it announces {announced} bytes, but {} of the published {length} are still to come",
                length - offset
            ),
        });
    }
    Ok(offset)
}

/// Whether a `Content-Range` is the rest of the file: `bytes 5-9/10` or `bytes 5-9/*`.
fn continues(range: &str, have: u64, length: u64) -> bool {
    let wanted = format!("bytes {have}-{}/", length.saturating_sub(1));
    range
        .strip_prefix(&wanted)
        .is_some_and(|total| total == "*" || total.parse() == Ok(length))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .trim()
}

/// A proxy cannot reach what listens on this machine alone.
fn is_this_machine(address: &str) -> bool {
    address.parse::<Uri>().is_ok_and(|uri| {
        matches!(
            uri.host(),
            Some("localhost" | "127.0.0.1" | "[::1]" | "::1")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert!(continues("bytes 5-9/10", 5, 10));
        assert!(continues("bytes 5-9/*", 5, 10));
        for wrong in [
            "",
            "bytes 5-9",
            "bytes 4-9/10",
            "bytes 5-8/10",
            "bytes 5-9/11",
            "bytes */10",
            "items 5-9/10",
        ] {
            assert!(!continues(wrong, 5, 10), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_this_machine() {
        assert!(is_this_machine("http://127.0.0.1:80/a"));
        assert!(is_this_machine("http://[::1]:80/a"));
        assert!(!is_this_machine("http://localhost.example.org/a"));
    }
}
