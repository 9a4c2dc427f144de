//! A server on this machine that does what servers should not do.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a client asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// The first byte asked for.
    pub from: Option<usize>,
    pub user_agent: String,
}

/// What the server does.
pub enum Reply {
    /// The bytes from the one asked for on, as the standard says.
    Right(Vec<u8>),
    /// As `Right`, but so many bytes of the body only, then the end of the connection.
    Cut(Vec<u8>, usize),
    /// These headers (the status line first) and bytes, then the end of the connection.
    Raw(String, Vec<u8>),
    /// Bytes without end and without `Content-Length`.
    Endless,
    /// Headers and half of the body, then nothing; the connection stays open.
    Hang(Vec<u8>),
    /// Not even headers.
    Silence,
}

type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;

pub struct Server {
    pub address: String,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request by `script(request, number of requests before it)`.
    pub fn start(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let server = Self {
            address,
            stop: Arc::default(),
            served: Arc::default(),
            requests: Arc::default(),
        };
        let script: Arc<Script> = Arc::new(script);
        let (stop, served, requests) = (
            server.stop.clone(),
            server.served.clone(),
            server.requests.clone(),
        );
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (script, stop, served, requests) = (
                    script.clone(),
                    stop.clone(),
                    served.clone(),
                    requests.clone(),
                );
                thread::spawn(move || {
                    let _ = answer(&stream, &*script, &stop, &served, &requests);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        server
    }

    /// A server of one file that never fails.
    pub fn right(content: &[u8]) -> Self {
        let content = content.to_vec();
        Self::start(move |_, _| Reply::Right(content.clone()))
    }

    pub fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(
            self.address
                .trim_start_matches("http://")
                .trim_end_matches('/'),
        );
    }
}

fn answer(
    stream: &TcpStream,
    script: &Script,
    stop: &AtomicBool,
    served: &AtomicU64,
    requests: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_string()),
            None => break,
        };
    }
    let request = Request {
        path: first.split(' ').nth(1).unwrap_or_default().to_string(),
        from: headers.get("range").map(|range| {
            let from = range.strip_prefix("bytes=").unwrap();
            from.strip_suffix('-').unwrap().parse().unwrap()
        }),
        user_agent: headers.remove("user-agent").unwrap_or_default(),
    };
    let number = {
        let mut requests = requests.lock().unwrap();
        requests.push(request.clone());
        requests.len() - 1
    };
    let send = |mut stream: &TcpStream, head: &str, body: &[u8]| -> std::io::Result<()> {
        stream.write_all(head.as_bytes())?;
        served.fetch_add(body.len() as u64, Ordering::SeqCst);
        stream.write_all(body)
    };
    match script(&request, number) {
        Reply::Right(content) => {
            let (head, body) = standard(&request, &content);
            send(stream, &head, body)
        }
        Reply::Cut(content, count) => {
            let (head, body) = standard(&request, &content);
            send(stream, &head, &body[..count.min(body.len())])
        }
        Reply::Raw(head, body) => send(
            stream,
            &format!("{head}\r\nConnection: close\r\n\r\n"),
            &body,
        ),
        Reply::Endless => {
            send(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &[])?;
            while !stop.load(Ordering::SeqCst) {
                send(stream, "", &[7; 10_000])?;
            }
            Ok(())
        }
        Reply::Hang(content) => {
            let (head, body) = standard(&request, &content);
            send(stream, &head, &body[..body.len() / 2])?;
            wait(stop);
            Ok(())
        }
        Reply::Silence => {
            wait(stop);
            Ok(())
        }
    }
}

fn wait(stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5));
    }
}

fn standard<'a>(request: &Request, content: &'a [u8]) -> (String, &'a [u8]) {
    let length = content.len();
    match request.from {
        Some(from) if from < length => (
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{length}\r\n\
                 Connection: close\r\n\r\n",
                length - from,
                length - 1
            ),
            &content[from..],
        ),
        Some(_) => (
            format!(
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{length}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ),
            &[],
        ),
        None => (
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"),
            content,
        ),
    }
}
