//! `key=value` options of a load.

/// Options not yet read by the load.
pub struct Options(Vec<(String, u64)>);

impl Options {
    /// Splits the arguments; values are decimal numbers.
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        args.map(|arg| {
            let (key, value) = arg
                .split_once('=')
                .ok_or_else(|| format!("'{arg}' is not of the form key=value"))?;
            let value = value
                .parse()
                .map_err(|_| format!("'{value}' in '{arg}' is not a number"))?;
            Ok((key.to_owned(), value))
        })
        .collect::<Result<_, String>>()
        .map(Options)
    }

    /// Takes the value of `key`, or `default` when it was not given.
    pub fn take(&mut self, key: &str, default: usize) -> usize {
        match self.0.iter().position(|(k, _)| k == key) {
            Some(at) => self.0.remove(at).1 as usize,
            None => default,
        }
    }

    /// An error when options are left that nobody took.
    pub fn end(&self) -> Result<(), String> {
        match self.0.first() {
            Some((key, _)) => Err(format!("this load has no option '{key}'")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn options(args: &[&str]) -> Result<Options, String> {
        Options::parse(args.iter().map(|s| s.to_string()))
    }

    #[test]
    fn given_and_default_values() {
        let mut o = options(&["size=64"]).unwrap();
        assert_eq!(o.take("size", 1), 64);
        assert_eq!(o.take("count", 7), 7);
        assert!(o.end().is_ok());
    }

    #[test]
    fn misuse_is_refused() {
        assert!(options(&["size"]).is_err());
        assert!(options(&["size=big"]).is_err());
        assert!(options(&["sizes=64"]).unwrap().end().is_err());
    }
}
