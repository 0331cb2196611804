//! Values while a template runs.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::TemplateError;
use super::schema::{Data, Kind, NODE_SPEC, OBJECT_META, POD_SPEC, Struct};

#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// What a map has not.
    Missing,
    Nil,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
    /// The data as a whole.
    Root(&'a Data<'a>),
    /// Absent in the JSON is empty.
    Map(Option<&'a serde_json::Map<String, Json>>),
    List(&'a [Json], &'static Kind),
    Struct(Option<&'a Json>, &'static Struct),
}

impl<'a> Value<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// What stands in the JSON for a value of this type.
    pub(super) fn of(json: Option<&'a Json>, kind: &'static Kind) -> Self {
        let json = json.filter(|json| !json.is_null());
        match kind {
            Kind::Text => Self::text(json.and_then(Json::as_str).unwrap_or_default()),
            Kind::Integer => Self::Integer(json.and_then(Json::as_i64).unwrap_or_default()),
            Kind::Bool => Self::Bool(json.and_then(Json::as_bool).unwrap_or_default()),
            Kind::Map => Self::Map(json.and_then(Json::as_object)),
            Kind::List(of) => {
                Self::List(json.and_then(Json::as_array).map_or(&[], |list| list), of)
            }
            Kind::Struct(of) => Self::Struct(json, of),
            Kind::Pointer(_) if json.is_none() => Self::Nil,
            Kind::Pointer(of) => Self::of(json, of),
        }
    }

    pub(super) fn field(&self, name: &str) -> Result<Self, TemplateError> {
        match self {
            Self::Missing => Ok(Self::Missing),
            Self::Root(data) => root(data, name),
            Self::Struct(json, of) => {
                let (key, kind) = of.field(name).ok_or_else(|| unknown(name, of))?;
                Ok(Self::of(json.and_then(|json| json.get(key)), kind))
            }
            Self::Map(map) => {
                let found = map.and_then(|map| map.get(name)).and_then(Json::as_str);
                Ok(found.map_or(Self::Missing, Self::text))
            }
            Self::Nil => Err(TemplateError::new(format!(
                "nil has no field {name}: ask with {{{{with}}}} first"
            ))),
            other => Err(TemplateError::new(format!(
                "{} has no field {name}",
                other.kind()
            ))),
        }
    }

    /// Whether `if` takes its first branch.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Integer(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Map(map) => map.is_some_and(|map| !map.is_empty()),
            Self::List(list, _) => !list.is_empty(),
            Self::Root(_) | Self::Struct(..) => true,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "what is missing in a map",
            Self::Nil => "nil",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a text",
            Self::Root(_) => "the data",
            Self::Map(_) => "a map",
            Self::List(..) => "a list",
            Self::Struct(..) => "a structure",
        }
    }

    /// As Go prints it.
    pub(super) fn print(&self) -> Result<Cow<'a, str>, TemplateError> {
        Ok(match self {
            Self::Missing => Cow::Borrowed("<no value>"),
            Self::Nil => Cow::Borrowed("<nil>"),
            Self::Bool(value) => value.to_string().into(),
            Self::Integer(value) => value.to_string().into(),
            Self::Float(value) => float(*value).into(),
            Self::Text(text) => text.clone(),
            Self::Map(map) => {
                let pairs = sorted(*map)
                    .into_iter()
                    .map(|(key, value)| format!("{key}:{value}"));
                format!("map[{}]", pairs.collect::<Vec<_>>().join(" ")).into()
            }
            Self::List(list, of) => {
                let items: Result<Vec<_>, _> = list
                    .iter()
                    .map(|item| Self::of(Some(item), of).print())
                    .collect();
                format!("[{}]", items?.join(" ")).into()
            }
            Self::Root(_) | Self::Struct(..) => {
                return Err(TemplateError::new(
                    "a structure is not printed: name one of its fields",
                ));
            }
        })
    }
}

/// A map's pairs in the order of its keys, as Go walks through maps.
pub(super) fn sorted(map: Option<&serde_json::Map<String, Json>>) -> Vec<(&str, &str)> {
    let pairs = map.into_iter().flatten();
    let mut pairs: Vec<_> = pairs
        .map(|(key, value)| (&**key, value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort_unstable();
    pairs
}

/// As `%v`: the shortest digits that mean the same.
fn float(value: f64) -> String {
    let exponent = value.abs().log10().floor();
    if value == 0.0 || (-4.0..6.0).contains(&exponent) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn root<'a>(data: &'a Data<'a>, name: &str) -> Result<Value<'a>, TemplateError> {
    let pod = |json: Option<&'a Json>, of| match json {
        Some(json) => Ok(Value::Struct(Some(json), of)),
        None => Err(TemplateError::new(format!(
            "there is no .{name} here: this template is about nodes"
        ))),
    };
    match name {
        "TrustDomain" => Ok(Value::text(data.trust_domain)),
        "ClusterName" => Ok(Value::text(data.cluster_name)),
        "ClusterDomain" => Ok(Value::text(data.cluster_domain)),
        "PodMeta" => pod(data.pod_meta, &OBJECT_META),
        "PodSpec" => pod(data.pod_spec, &POD_SPEC),
        "NodeMeta" => Ok(Value::Struct(Some(data.node_meta), &OBJECT_META)),
        "NodeSpec" => Ok(Value::Struct(Some(data.node_spec), &NODE_SPEC)),
        _ => Err(TemplateError::new(format!(
            "there is no .{name}; there are .TrustDomain, .ClusterName, .ClusterDomain, .PodMeta, \
             .PodSpec, .NodeMeta and .NodeSpec"
        ))),
    }
}

fn unknown(name: &str, of: &Struct) -> TemplateError {
    let method = match of.field(name.strip_prefix("Get").unwrap_or_default()) {
        Some(_) => "; methods are not called here: write the field without \"Get\"",
        None => "",
    };
    TemplateError::new(format!(
        "{} has no field {name} that is known here{method}",
        of.name
    ))
}
