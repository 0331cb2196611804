//! Running a template. It ends: there is no recursion in templates, ranges go over data or small
//! numbers, and both steps and output are counted.

use super::functions::{self, Function};
use super::parse::{Branch, Command, Node, Operand, Pipe, Start};
use super::schema::Data;
use super::value::{Value, sorted};
use super::{MAX_OUTPUT, TemplateError};

/// Nodes, commands and operands of one run: templates have a few dozen.
const MAX_STEPS: usize = 100_000;

pub(super) fn render(nodes: &[Node], data: &Data<'_>) -> Result<String, TemplateError> {
    let root = Value::Root(data);
    let mut run = Run {
        variables: vec![("", root.clone())],
        output: String::new(),
        steps: 0,
    };
    run.list(nodes, &root)?;
    Ok(run.output)
}

/// How a list of nodes ended.
enum Flow {
    Next,
    Break,
    Continue,
}

struct Run<'a> {
    variables: Vec<(&'a str, Value<'a>)>,
    output: String,
    steps: usize,
}

impl<'a> Run<'a> {
    fn list(&mut self, nodes: &'a [Node], dot: &Value<'a>) -> Result<Flow, TemplateError> {
        let known = self.variables.len();
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(text) => self.write(text).map(|()| Flow::Next),
                Node::Action(pipe) => self.action(pipe, dot).map(|()| Flow::Next),
                Node::If(branch) => self.either(branch, dot, false),
                Node::With(branch) => self.either(branch, dot, true),
                Node::Range(branch) => self.range(branch, dot),
                Node::Break => Ok(Flow::Break),
                Node::Continue => Ok(Flow::Continue),
            }?;
            if !matches!(flow, Flow::Next) {
                self.variables.truncate(known);
                return Ok(flow);
            }
        }
        self.variables.truncate(known);
        Ok(Flow::Next)
    }

    fn action(&mut self, pipe: &'a Pipe, dot: &Value<'a>) -> Result<(), TemplateError> {
        let value = self.pipe(pipe, dot)?;
        match pipe.variables.is_empty() {
            true => self.write(&value.print()?),
            false => Ok(()),
        }
    }

    fn either(
        &mut self,
        branch: &'a Branch,
        dot: &Value<'a>,
        with: bool,
    ) -> Result<Flow, TemplateError> {
        let known = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = match (value.is_true(), with) {
            (true, true) => self.list(&branch.then, &value),
            (true, false) => self.list(&branch.then, dot),
            (false, _) => self.list(&branch.otherwise, dot),
        };
        self.variables.truncate(known);
        flow
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value<'a>) -> Result<Flow, TemplateError> {
        let known = self.variables.len();
        let over = self.evaluate(&branch.pipe, dot)?;
        let mut any = false;
        for (key, value) in self.items(&over)? {
            any = true;
            self.step()?;
            self.declare_item(&branch.pipe, key, &value);
            let flow = self.list(&branch.then, &value)?;
            self.variables.truncate(known);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        let flow = match any {
            true => Ok(Flow::Next),
            false => self.list(&branch.otherwise, dot),
        };
        self.variables.truncate(known);
        flow
    }

    fn items(&self, over: &Value<'a>) -> Result<Vec<(Value<'a>, Value<'a>)>, TemplateError> {
        let index = |index: usize| Value::Integer(i64::try_from(index).unwrap_or(i64::MAX));
        match over {
            Value::Missing => Ok(Vec::new()),
            Value::List(list, of) => {
                let items = list.iter().map(|item| Value::of(Some(item), of));
                Ok(items
                    .enumerate()
                    .map(|(at, item)| (index(at), item))
                    .collect())
            }
            Value::Map(map) => {
                let pairs = sorted(*map).into_iter();
                Ok(pairs
                    .map(|(key, value)| (Value::text(key), Value::text(value)))
                    .collect())
            }
            Value::Integer(end) => {
                let end = usize::try_from(*end).unwrap_or(0);
                if end > MAX_STEPS {
                    return Err(too_long());
                }
                Ok((0..end).map(|at| (index(at), index(at))).collect())
            }
            other => Err(TemplateError::new(format!(
                "range cannot go over {}",
                other.kind()
            ))),
        }
    }

    fn declare_item(&mut self, pipe: &'a Pipe, key: Value<'a>, value: &Value<'a>) {
        match &pipe.variables[..] {
            [one] => self.set(pipe, one, value.clone()),
            [one, two] => {
                self.set(pipe, one, key);
                self.set(pipe, two, value.clone());
            }
            _ => {}
        }
    }

    fn set(&mut self, pipe: &'a Pipe, name: &'a str, value: Value<'a>) {
        if pipe.assigns {
            let known = self
                .variables
                .iter_mut()
                .rev()
                .find(|(known, _)| *known == name);
            known.expect("the parser knows the variable").1 = value;
        } else {
            self.variables.push((name, value));
        }
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
        let value = self.evaluate(pipe, dot)?;
        for name in &pipe.variables {
            self.set(pipe, name, value.clone());
        }
        Ok(value)
    }

    fn evaluate(&mut self, pipe: &'a Pipe, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
        let mut last = None;
        for command in &pipe.commands {
            self.step()?;
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.expect("a pipeline has a command"))
    }

    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        let (function, operands) = match command {
            Command::Value(operand) => match (&operand.start, last) {
                (_, None) => return self.operand(operand, dot),
                (Start::Call(function), Some(last)) if operand.fields.is_empty() => {
                    return functions::call(*function, vec![last]);
                }
                _ => return Err(TemplateError::new("only a function can stand after \"|\"")),
            },
            Command::Call(function, operands) => (*function, operands),
        };
        if matches!(function, Function::And | Function::Or) {
            return self.short(function, operands, dot, last);
        }
        let arguments: Result<Vec<_>, _> = operands
            .iter()
            .map(|operand| self.operand(operand, dot))
            .collect();
        let mut arguments = arguments?;
        arguments.extend(last);
        functions::call(function, arguments)
    }

    /// `and` and `or` look at no more than they must.
    fn short(
        &mut self,
        function: Function,
        operands: &'a [Operand],
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        let mut value = None;
        for operand in operands {
            let next = self.operand(operand, dot)?;
            let decides = next.is_true() == (function == Function::Or);
            value = Some(next);
            if decides {
                return Ok(value.expect("just set"));
            }
        }
        last.or(value).ok_or_else(|| functions::too_few(function))
    }

    fn operand(
        &mut self,
        operand: &'a Operand,
        dot: &Value<'a>,
    ) -> Result<Value<'a>, TemplateError> {
        self.step()?;
        let start = match &operand.start {
            Start::Dot => dot.clone(),
            Start::Nil => Value::Nil,
            Start::Bool(value) => Value::Bool(*value),
            Start::Integer(value) => Value::Integer(*value),
            Start::Float(value) => Value::Float(*value),
            Start::Text(text) => Value::text(text),
            Start::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                known.expect("the parser knows the variable").1.clone()
            }
            Start::Call(function) => functions::call(*function, Vec::new())?,
            Start::Pipe(pipe) => self.evaluate(pipe, dot)?,
        };
        operand
            .fields
            .iter()
            .try_fold(start, |value, name| value.field(name))
    }

    fn write(&mut self, text: &str) -> Result<(), TemplateError> {
        if self.output.len() + text.len() > MAX_OUTPUT {
            return Err(TemplateError::new(format!(
                "the result is longer than {MAX_OUTPUT} bytes"
            )));
        }
        self.output.push_str(text);
        Ok(())
    }

    fn step(&mut self) -> Result<(), TemplateError> {
        self.steps += 1;
        match self.steps > MAX_STEPS {
            true => Err(too_long()),
            false => Ok(()),
        }
    }
}

fn too_long() -> TemplateError {
    TemplateError::new(format!("the template takes more than {MAX_STEPS} steps"))
}
