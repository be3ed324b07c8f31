//! What is written for people or programs to read line by line: one line stays one.

use std::fmt::Write as _;
use std::io::{self, Write};

use daybook_events::{is_control, turns_direction};
use tracing_subscriber::fmt::MakeWriter;

/// How characters that would end a line, control a terminal or turn its direction are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// As Rust writes them: `\n`, `\u{2028}`.
    Text,
    /// The same, but for colours: the log has its own, and no other sequence reaches the terminal.
    Coloured,
    /// As JSON writes them, within whose strings alone they can be.
    Json,
}

impl Escape {
    fn applies(c: char) -> bool {
        is_control(c) || turns_direction(c)
    }

    /// The text as a line, without its end.
    pub(crate) fn line(self, text: &str) -> String {
        let mut line = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            let colour = self == Self::Coloured && text.get(at..).is_some_and(is_colour);
            if colour || !Self::applies(c) {
                line.push(c);
            } else if self == Self::Json {
                // All of them are in the first plane.
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            } else {
                line.extend(c.escape_default());
            }
        }
        line
    }
}

/// Whether a text begins with a sequence that changes the colour of a terminal, and nothing else.
fn is_colour(text: &str) -> bool {
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == ';');
    let sequence = text.strip_prefix("\u{1b}[").and_then(|rest| rest.split_once('m'));
    sequence.is_some_and(|(numbers, _)| digits(numbers))
}

/// Writes each event of the log as one line, whatever is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OneLine<M> {
    to: M,
    escape: Escape,
}

impl<M> OneLine<M> {
    pub(crate) const fn new(to: M, escape: Escape) -> Self {
        Self { to, escape }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLine<M> {
    type Writer = OneLine<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine { to: self.to.make_writer(), escape: self.escape }
    }
}

impl<W: Write> Write for OneLine<W> {
    /// Takes a whole event, as the log hands them over.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(event) {
            Ok(text) => {
                let (text, end) = match text.strip_suffix('\n') {
                    Some(text) => (text, "\n"),
                    None => (text, ""),
                };
                if text.chars().any(Escape::applies) {
                    let line = self.escape.line(text) + end;
                    self.to.write_all(line.as_bytes())?;
                } else {
                    self.to.write_all(event)?;
                }
            }
            Err(_) => self.to.write_all(event)?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const ODD: &str = "a\nb\r\tc\u{85}d\u{2028}e\u{2029}f\u{202e}g\u{2066}h\u{1b}[2Ji\0j";

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of an event with odd texts in every place there is for one.
    fn logged(escape: Escape) -> String {
        let log = Log::default();
        let to = log.clone();
        let build = tracing_subscriber::fmt().with_writer(OneLine::new(move || to.clone(), escape));
        let error = io::Error::other(ODD);
        let say = || {
            let span = tracing::error_span!("span", shown = %ODD, debug = ?ODD);
            let _entered = span.enter();
            tracing::error!(text = ODD, shown = %ODD, debug = ?ODD, %error, "It said: {ODD}");
        };
        if escape == Escape::Json {
            tracing::subscriber::with_default(build.json().finish(), say);
        } else {
            let coloured = escape == Escape::Coloured;
            tracing::subscriber::with_default(build.with_ansi(coloured).finish(), say);
        }
        String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
    }

    fn assert_one_line(log: &str) {
        let line = log.strip_suffix('\n').unwrap();
        assert!(!line.chars().any(|c| is_control(c) || turns_direction(c)), "{line:?}");
        assert!(line.contains("It said: a"), "{line}");
    }

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        assert_one_line(&logged(Escape::Text));
        let json = logged(Escape::Json);
        assert_one_line(&json);
        let event: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(event.pointer("/fields/text").and_then(serde_json::Value::as_str), Some(ODD));
    }

    #[test]
    fn nothing_but_colours_reaches_a_terminal() {
        let log = logged(Escape::Coloured);
        assert!(log.contains("\u{1b}["), "{log:?}");
        assert!(!log.contains("\u{1b}[2J"), "{log:?}");
        assert_one_line(&log.replace('\u{1b}', ""));
    }
}
