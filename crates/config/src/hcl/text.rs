//! Quoted texts and heredocs of HCL 1.

use super::Parser;
use crate::Problem;

impl Parser<'_> {
    /// A quoted text with its escapes resolved; `${…}` is kept as written, quotes inside included.
    pub(super) fn text(&mut self) -> Result<String, Problem> {
        let unclosed = self.cursor.problem("this text is not closed on its line");
        self.cursor.next();
        let mut text = String::new();
        loop {
            if self.cursor.starts_with("${") {
                self.interpolation(&mut text)?;
                continue;
            }
            match self.cursor.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                None | Some('\n') => return Err(unclosed),
                Some(other) => text.push(other),
            }
        }
    }

    fn interpolation(&mut self, text: &mut String) -> Result<(), Problem> {
        let unclosed = self.cursor.problem("this \"${\" is not closed by \"}\"");
        let mut open = 0_usize;
        loop {
            let next = self.cursor.next().ok_or_else(|| unclosed.clone())?;
            text.push(next);
            match next {
                '{' => open += 1,
                '}' if open == 1 => return Ok(()),
                '}' => open -= 1,
                _ => {}
            }
        }
    }

    /// What a backslash and the characters after it stand for.
    fn escape(&mut self) -> Result<char, Problem> {
        let unknown = self.cursor.problem("an escape that HCL does not know");
        let resolved = match self.cursor.peek() {
            Some('0'..='3') => return self.octal().ok_or(unknown),
            _ => match self.cursor.next() {
                Some('a') => Some('\x07'),
                Some('b') => Some('\x08'),
                Some('f') => Some('\x0c'),
                Some('n') => Some('\n'),
                Some('r') => Some('\r'),
                Some('t') => Some('\t'),
                Some('v') => Some('\x0b'),
                Some(same @ ('\\' | '"' | '\'')) => Some(same),
                Some('x') => self.cursor.take_hex(2).and_then(char::from_u32),
                Some('u') => self.cursor.take_hex(4).and_then(char::from_u32),
                Some('U') => self.cursor.take_hex(8).and_then(char::from_u32),
                _ => None,
            },
        };
        resolved.ok_or(unknown)
    }

    /// Three octal digits.
    fn octal(&mut self) -> Option<char> {
        let mut code = 0;
        for _ in 0..3 {
            code = code * 8 + self.cursor.next()?.to_digit(8)?;
        }
        char::from_u32(code)
    }

    /// `<<WORD` … `WORD`, or `<<-WORD`, which takes the indentation of its closing line from every
    /// line if all of them have it.
    pub(super) fn heredoc(&mut self) -> Result<String, Problem> {
        let start = self.cursor.problem("");
        self.cursor.eat("<<");
        let indented = self.cursor.eat("-");
        let marker = self.cursor.take_while(|c| c.is_alphanumeric() || c == '_');
        self.cursor.eat("\r");
        if marker.is_empty() || !self.cursor.eat("\n") {
            return Err(self
                .cursor
                .expected("a word and the end of the line after \"<<\""));
        }
        let mut lines = Vec::new();
        while let Some(line) = self.cursor.take_line() {
            if line.trim() == marker {
                let margin = &line[..line.len() - line.trim_start().len()];
                return Ok(joined(&lines, if indented { margin } else { "" }));
            }
            lines.push(line);
        }
        let message = format!("no line {marker:?} closes this text");
        Err(Problem { message, ..start })
    }
}

fn joined(lines: &[&str], margin: &str) -> String {
    let cut = if lines.iter().all(|line| line.starts_with(margin)) {
        margin.len()
    } else {
        0
    };
    lines.iter().flat_map(|line| [&line[cut..], "\n"]).collect()
}
