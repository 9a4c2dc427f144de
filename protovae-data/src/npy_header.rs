//! The header of a `.npy` file: a Python dictionary of exactly the three keys that NumPy writes.

/// More sides than NumPy allows are refused.
const MAX_SIDES: usize = 64;

/// The sides of an array of bytes in C order, or what is wrong with the header.
pub(crate) fn shape(header: &[u8]) -> Result<Vec<u64>, String> {
    let mut text = Text(header);
    let mut descr = None;
    let mut fortran = None;
    let mut shape = None;
    text.expect(b'{')?;
    while !text.take(b'}') {
        let key = text.string()?;
        text.expect(b':')?;
        let fresh = match key {
            b"descr" => {
                // Records have a list here; only the plain types are in quotes.
                let value = text.string().map_err(|_| {
                    "its values are no bytes: its header's `descr` is not '|u1'".to_string()
                })?;
                descr.replace(value).is_none()
            }
            b"fortran_order" => fortran.replace(text.truth()?).is_none(),
            b"shape" => shape.replace(text.tuple()?).is_none(),
            _ => {
                return Err(format!(
                    "its header has the unknown key `{}`",
                    key.escape_ascii()
                ));
            }
        };
        if !fresh {
            return Err(format!(
                "its header has the key `{}` twice",
                key.escape_ascii()
            ));
        }
        if !text.take(b',') {
            text.expect(b'}')?;
            break;
        }
    }
    text.skip_space();
    if !text.0.is_empty() {
        return Err("its header goes on after the dictionary".to_string());
    }
    let missing = |key| format!("its header lacks the key `{key}`");
    let descr = descr.ok_or_else(|| missing("descr"))?;
    if descr != b"|u1" {
        return Err(format!(
            "its values are of type '{}'; only bytes ('|u1') are read: save it as uint8",
            descr.escape_ascii()
        ));
    }
    if fortran.ok_or_else(|| missing("fortran_order"))? {
        return Err(
            "its values are in Fortran's order; save it again through numpy.ascontiguousarray"
                .to_string(),
        );
    }
    shape.ok_or_else(|| missing("shape"))
}

/// What is left of the header.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// Whether this comes next, spaces aside; if so it is taken.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        match self.0.split_first() {
            Some((&first, rest)) if first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.take(byte) {
            return Ok(());
        }
        let found = match self.0.first() {
            Some(found) => format!("`{}`", found.escape_ascii()),
            None => "the end".to_string(),
        };
        Err(format!(
            "its header has {found} where `{}` belongs",
            char::from(byte)
        ))
    }

    /// The longest run of bytes that `of` accepts.
    fn run(&mut self, of: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.0.iter().take_while(|&&byte| of(byte)).count();
        let (run, rest) = self.0.split_at(length);
        self.0 = rest;
        run
    }

    /// A string in either kind of quotes. NumPy writes none with a backslash in it.
    fn string(&mut self) -> Result<&'a [u8], String> {
        let quote = if self.take(b'"') {
            b'"'
        } else {
            self.expect(b'\'')?;
            b'\''
        };
        let string = self.run(|byte| byte != quote && byte != b'\\' && byte != b'\n');
        if self.0.first() != Some(&quote) {
            return Err("its header has a string without an end".to_string());
        }
        self.0 = self.0.get(1..).unwrap_or_default();
        Ok(string)
    }

    fn truth(&mut self) -> Result<bool, String> {
        self.skip_space();
        match self.run(|byte| byte.is_ascii_alphanumeric()) {
            b"True" => Ok(true),
            b"False" => Ok(false),
            _ => Err("its header's `fortran_order` is neither True nor False".to_string()),
        }
    }

    fn tuple(&mut self) -> Result<Vec<u64>, String> {
        let mut sides = Vec::new();
        self.expect(b'(')?;
        while !self.take(b')') {
            if sides.len() == MAX_SIDES {
                return Err(format!("its header's `shape` has over {MAX_SIDES} sides"));
            }
            sides.push(self.number()?);
            if !self.take(b',') {
                self.expect(b')')?;
                if sides.len() == 1 {
                    return Err("its header's `shape` is a number and no tuple".to_string());
                }
                break;
            }
        }
        Ok(sides)
    }

    fn number(&mut self) -> Result<u64, String> {
        self.skip_space();
        let digits = self.run(|byte| byte.is_ascii_digit());
        // Python 2 wrote long integers so.
        if self.0.first() == Some(&b'L') {
            self.0 = self.0.get(1..).unwrap_or_default();
        }
        std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| {
                format!(
                    "its header's `shape` has a side that is no number below 2^64: `{}`",
                    digits.escape_ascii()
                )
            })
    }
}
