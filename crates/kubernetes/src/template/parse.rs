//! Tokens to nodes. Variables are looked for here, so that a template that names an unknown one is
//! refused when it is read.

use super::TemplateError;
use super::functions::Function;
use super::lex::{Piece, Token, Word};

/// How deep blocks and parentheses may stand in each other: reading them takes stack.
const MAX_DEPTH: usize = 32;

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$a, $b := first | second`
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) variables: Vec<String>,
    /// `=` in place of `:=`
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug)]
pub(super) enum Command {
    Value(Operand),
    Call(Function, Vec<Operand>),
}

#[derive(Debug)]
pub(super) struct Operand {
    pub(super) start: Start,
    pub(super) fields: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Start {
    Dot,
    Nil,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Variable(String),
    /// A function without arguments.
    Call(Function),
    Pipe(Box<Pipe>),
}

pub(super) fn parse(pieces: &[Piece]) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser {
        pieces,
        variables: vec![String::new()],
        depth: 0,
        ranges: 0,
    };
    let (nodes, end) = parser.list()?;
    match end {
        End::Template => Ok(nodes),
        End::Close => Err(TemplateError::new("{{end}} without a block")),
        End::Else(_) => Err(TemplateError::new("{{else}} without a block")),
    }
}

/// What a list of nodes ended with.
enum End<'a> {
    Template,
    Close,
    Else(&'a [Token]),
}

struct Parser<'a> {
    pieces: &'a [Piece],
    variables: Vec<String>,
    depth: usize,
    ranges: usize,
}

impl<'a> Parser<'a> {
    fn list(&mut self) -> Result<(Vec<Node>, End<'a>), TemplateError> {
        let mut nodes = Vec::new();
        while let Some((piece, rest)) = self.pieces.split_first() {
            self.pieces = rest;
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Piece::Action(tokens) => &tokens[..],
            };
            let (keyword, rest) = match tokens.split_first() {
                Some((first, rest)) => match &first.word {
                    Word::Name(name) => (&**name, rest),
                    _ => ("", tokens),
                },
                None => {
                    return Err(TemplateError::new(
                        "missing value for command: an action is empty",
                    ));
                }
            };
            match keyword {
                "end" => return self.bare(keyword, rest).map(|()| (nodes, End::Close)),
                "else" => return Ok((nodes, End::Else(rest))),
                "if" => nodes.push(Node::If(self.branch(keyword, rest)?)),
                "with" => nodes.push(Node::With(self.branch(keyword, rest)?)),
                "range" => nodes.push(Node::Range(self.branch(keyword, rest)?)),
                "break" | "continue" => {
                    self.bare(keyword, rest)?;
                    if self.ranges == 0 {
                        return Err(TemplateError::new(format!(
                            "{{{{{keyword}}}}} outside of a range"
                        )));
                    }
                    nodes.push(match keyword {
                        "break" => Node::Break,
                        _ => Node::Continue,
                    });
                }
                "define" | "template" | "block" => {
                    return Err(TemplateError::new(format!(
                        "{keyword} is not done here: write the text where it is used"
                    )));
                }
                _ => {
                    let pipe = self.whole_pipe(tokens, 1, "command")?;
                    self.variables
                        .extend(pipe.variables.iter().filter(|_| !pipe.assigns).cloned());
                    nodes.push(Node::Action(pipe));
                }
            }
        }
        Ok((nodes, End::Template))
    }

    fn bare(&self, keyword: &str, rest: &[Token]) -> Result<(), TemplateError> {
        match rest.is_empty() {
            true => Ok(()),
            false => Err(TemplateError::new(format!("nothing may follow {keyword}"))),
        }
    }

    fn branch(&mut self, keyword: &str, tokens: &'a [Token]) -> Result<Branch, TemplateError> {
        self.deeper()?;
        let known = self.variables.len();
        let most = if keyword == "range" { 2 } else { 1 };
        let pipe = self.whole_pipe(tokens, most, keyword)?;
        if !pipe.assigns {
            self.variables.extend(pipe.variables.iter().cloned());
        }
        let inside = self.variables.len();
        self.ranges += usize::from(keyword == "range");
        let (then, end) = self.list()?;
        self.ranges -= usize::from(keyword == "range");
        self.variables.truncate(inside);
        let otherwise = self.otherwise(keyword, end)?;
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(Branch {
            pipe,
            then,
            otherwise,
        })
    }

    /// `{{else}} … {{end}}`, or `{{else if …}}`, which shares the `{{end}}`.
    fn otherwise(&mut self, keyword: &str, end: End<'a>) -> Result<Vec<Node>, TemplateError> {
        let tokens = match end {
            End::Close => return Ok(Vec::new()),
            End::Else(tokens) => tokens,
            End::Template => {
                return Err(TemplateError::new(format!(
                    "{keyword} is not closed: {{{{end}}}} is missing"
                )));
            }
        };
        match tokens.split_first() {
            None => {
                let (nodes, end) = self.list()?;
                match end {
                    End::Close => Ok(nodes),
                    End::Else(_) => Err(TemplateError::new(format!(
                        "{keyword} has a second {{{{else}}}}"
                    ))),
                    End::Template => self.otherwise(keyword, End::Template),
                }
            }
            Some((first, rest))
                if keyword != "range" && first.word == Word::Name(keyword.to_owned()) =>
            {
                let branch = self.branch(keyword, rest)?;
                Ok(vec![match keyword {
                    "if" => Node::If(branch),
                    _ => Node::With(branch),
                }])
            }
            Some(_) => Err(TemplateError::new(format!(
                "what follows else here is not understood: {{{{else}}}} or {{{{else {keyword} …}}}}"
            ))),
        }
    }

    fn whole_pipe(
        &mut self,
        tokens: &[Token],
        most: usize,
        context: &str,
    ) -> Result<Pipe, TemplateError> {
        let mut rest = tokens;
        let pipe = self.pipe(&mut rest, most, context)?;
        match rest.first() {
            None => Ok(pipe),
            Some(_) => Err(TemplateError::new("\")\" without \"(\"")),
        }
    }

    /// Until the end or a closing parenthesis, which is left.
    fn pipe(
        &mut self,
        tokens: &mut &[Token],
        most: usize,
        context: &str,
    ) -> Result<Pipe, TemplateError> {
        let (variables, assigns) = self.declaration(tokens, most)?;
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(tokens, context)?);
            if commands.len() > 1 && is_constant(&commands[commands.len() - 1]) {
                return Err(TemplateError::new(
                    "a constant cannot take what stands before the \"|\"",
                ));
            }
            match tokens.first().map(|token| &token.word) {
                Some(Word::Pipe) => *tokens = &tokens[1..],
                _ => break,
            }
        }
        Ok(Pipe {
            variables,
            assigns,
            commands,
        })
    }

    fn declaration(
        &mut self,
        tokens: &mut &[Token],
        most: usize,
    ) -> Result<(Vec<String>, bool), TemplateError> {
        let word = |index: usize| tokens.get(index).map(|token| &token.word);
        let (names, end) = match (word(0), word(1), word(2), word(3)) {
            (Some(Word::Variable(one)), Some(Word::Declare | Word::Assign), ..) => (vec![one], 1),
            (
                Some(Word::Variable(one)),
                Some(Word::Comma),
                Some(Word::Variable(two)),
                Some(Word::Declare | Word::Assign),
            ) => (vec![one, two], 3),
            _ => return Ok((Vec::new(), false)),
        };
        let names: Vec<String> = names.into_iter().cloned().collect();
        let assigns = word(end) == Some(&Word::Assign);
        if names.len() > most {
            return Err(TemplateError::new("too many variables are declared here"));
        }
        for name in &names {
            if name.is_empty() {
                return Err(TemplateError::new("$ is the data itself and cannot be set"));
            }
            if assigns {
                self.known(name)?;
            }
        }
        *tokens = &tokens[end + 1..];
        Ok((names, assigns))
    }

    fn command(&mut self, tokens: &mut &[Token], context: &str) -> Result<Command, TemplateError> {
        let mut operands = Vec::new();
        let mut function = None;
        while let Some(token) = tokens.first() {
            if matches!(token.word, Word::Pipe | Word::Close) {
                break;
            }
            if operands.is_empty()
                && function.is_none()
                && let Word::Name(name) = &token.word
                && let Some(found) = named(name)?
                && !tokens
                    .get(1)
                    .is_some_and(|next| !next.spaced && matches!(next.word, Word::Field(_)))
            {
                function = Some(found);
                *tokens = &tokens[1..];
                continue;
            }
            operands.push(self.operand(tokens)?);
        }
        match (function, operands.len()) {
            (Some(function), _) => Ok(Command::Call(function, operands)),
            (None, 0) => Err(TemplateError::new(format!("missing value for {context}"))),
            (None, 1) => {
                let value = operands.remove(0);
                match value.start {
                    Start::Nil => Err(TemplateError::new("nil is not a command")),
                    _ => Ok(Command::Value(value)),
                }
            }
            (None, _) => Err(TemplateError::new("only a function takes arguments")),
        }
    }

    fn operand(&mut self, tokens: &mut &[Token]) -> Result<Operand, TemplateError> {
        let (token, rest) = tokens.split_first().expect("the caller saw a token");
        *tokens = rest;
        let mut fields = Vec::new();
        let start = match &token.word {
            Word::Dot => Start::Dot,
            Word::Field(name) => {
                fields.push(name.clone());
                Start::Dot
            }
            Word::Variable(name) => {
                self.known(name)?;
                Start::Variable(name.clone())
            }
            Word::Text(text) => Start::Text(text.clone()),
            Word::Integer(number) => Start::Integer(*number),
            Word::Float(number) => Start::Float(*number),
            Word::Name(name) => match &**name {
                "true" => Start::Bool(true),
                "false" => Start::Bool(false),
                "nil" => Start::Nil,
                name => match named(name)? {
                    Some(function) => Start::Call(function),
                    None => return Err(TemplateError::new(format!("{name:?} is no value"))),
                },
            },
            Word::Open => {
                self.deeper()?;
                let pipe = self.pipe(tokens, 0, "parenthesized pipeline")?;
                self.depth -= 1;
                match tokens.first().map(|token| &token.word) {
                    Some(Word::Close) => *tokens = &tokens[1..],
                    _ => return Err(TemplateError::new("\"(\" is not closed")),
                }
                Start::Pipe(Box::new(pipe))
            }
            Word::Declare | Word::Assign | Word::Comma | Word::Pipe | Word::Close => {
                return Err(TemplateError::new(
                    "variables are set as in {{$name := value}}, and only at the start of an action",
                ));
            }
        };
        while let Some(Token {
            word: Word::Field(name),
            spaced: false,
        }) = tokens.first()
        {
            fields.push(name.clone());
            *tokens = &tokens[1..];
        }
        if let Some(next) = tokens.first()
            && !next.spaced
            && !matches!(next.word, Word::Pipe | Word::Close | Word::Comma)
        {
            return Err(TemplateError::new(
                "white space is missing between two values",
            ));
        }
        let literal = matches!(
            start,
            Start::Nil | Start::Bool(_) | Start::Integer(_) | Start::Float(_) | Start::Text(_)
        );
        if literal && !fields.is_empty() {
            return Err(TemplateError::new("a constant has no fields"));
        }
        Ok(Operand { start, fields })
    }

    fn known(&self, name: &str) -> Result<(), TemplateError> {
        match self.variables.iter().any(|known| known == name) {
            true => Ok(()),
            false => Err(TemplateError::new(format!("undefined variable ${name}"))),
        }
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err(TemplateError::new(format!(
                "blocks or parentheses stand more than {MAX_DEPTH} deep in each other"
            ))),
            false => Ok(()),
        }
    }
}

fn is_constant(command: &Command) -> bool {
    let Command::Value(value) = command else {
        return false;
    };
    matches!(
        value.start,
        Start::Bool(_)
            | Start::Integer(_)
            | Start::Float(_)
            | Start::Text(_)
            | Start::Nil
            | Start::Dot
    ) && value.fields.is_empty()
}

fn named(name: &str) -> Result<Option<Function>, TemplateError> {
    match name {
        "true" | "false" | "nil" => Ok(None),
        name => Function::named(name).map(Some),
    }
}
