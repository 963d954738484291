//! The values of a pickle: a flat list in which they refer to one another by index, so that nothing nests.

use super::element::Element;
use super::view::{Storage, View};

/// Where a value stands in the list of all: what a pickle refers to twice is there once.
pub type Id = u32;

pub const NONE: Id = 0;
pub const TRUE: Id = 1;
pub const FALSE: Id = 2;
/// Floats, of which no tensor is made, are one value.
pub const FLOAT: Id = 3;
/// Bytes, and integers and texts that are no plain ones, are another.
pub const BYTES: Id = 4;

pub enum Value<'a> {
    None,
    Bool,
    Float,
    Bytes,
    Integer(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Class(Class<'a>),
    Storage(Box<Storage<'a>>),
    /// A tensor of before 0.2, whose storage follows.
    Blank,
    Tensor(Box<View<'a>>),
    /// A tensor whose values cannot be had, and why: what completes a sentence that begins with its name.
    Unread(Box<str>),
    /// What a class or function would make, which is never called.
    Object(Box<Object<'a>>),
}

impl Value<'_> {
    /// The values that stand at the beginning of every list.
    pub fn constants() -> Vec<Self> {
        vec![Self::None, Self::Bool, Self::Bool, Self::Float, Self::Bytes]
    }
}

pub struct Object<'a> {
    pub module: &'a str,
    /// Of its class.
    pub name: &'a str,
    /// What it holds as a dict, or a list under no keys.
    pub items: Vec<(Id, Id)>,
    /// Its attributes.
    pub state: Id,
}

impl<'a> Object<'a> {
    pub fn of(module: &'a str, name: &'a str) -> Value<'a> {
        Value::Object(Box::new(Self { module, name, items: vec![], state: NONE }))
    }

    /// What holds nothing but settings and numbers, which a state dict can do without.
    pub fn is_plain(&self) -> bool {
        let name = self.name;
        match self.module {
            "argparse" | "datetime" | "pathlib" | "collections" | "decimal" | "fractions" | "uuid" | "types" => true,
            "builtins" | "__builtin__" => matches!(name, "set" | "frozenset" | "complex" | "slice" | "range"),
            "numpy" => name == "dtype",
            "numpy.core.multiarray" | "numpy._core.multiarray" => name == "scalar",
            "_codecs" => true,
            "torch" => matches!(name, "device" | "Size"),
            _ => false,
        }
    }
}

/// What a pickle names.
#[derive(Clone, Copy)]
pub enum Class<'a> {
    Dict,
    Size,
    Rebuild,
    /// A tensor whose type is told beside its untyped storage.
    RebuildTyped,
    /// A tensor of a class of its own: how its values are rebuilt, and the class.
    FromType,
    Parameter,
    Blank,
    Storage(&'static Element),
    Element(&'static Element),
    /// A tensor whose values lie otherwise than in strides.
    Unread(&'static str),
    Other(&'a str, &'a str),
}

impl<'a> Class<'a> {
    pub fn of(module: &'a str, name: &'a str) -> Self {
        let known = match (module, name) {
            ("collections", "OrderedDict" | "defaultdict") | ("builtins" | "__builtin__", "dict") => Some(Self::Dict),
            ("torch", "Size") => Some(Self::Size),
            ("torch._utils", name) => Self::rebuilt(name),
            ("torch.nn.parameter", "Parameter" | "Buffer") => Some(Self::Parameter),
            ("torch._tensor" | "torch.tensor", "_rebuild_from_type" | "_rebuild_from_type_v2") => Some(Self::FromType),
            ("torch.storage" | "torch", "UntypedStorage" | "_UntypedStorage") => Some(Self::Storage(Element::byte())),
            ("torch" | "torch.cuda", name) => Element::of_storage(name).map(Self::Storage).or_else(|| {
                let blank = name.strip_suffix("Tensor").and_then(Element::of_kind);
                blank.map(|_| Self::Blank).or_else(|| Element::named(name).map(Self::Element))
            }),
            _ => None,
        };
        known.unwrap_or(Self::Other(module, name))
    }

    fn rebuilt(function: &str) -> Option<Self> {
        Some(match function {
            "_rebuild_tensor" | "_rebuild_tensor_v2" => Self::Rebuild,
            "_rebuild_tensor_v3" => Self::RebuildTyped,
            "_rebuild_parameter" | "_rebuild_parameter_with_state" => Self::Parameter,
            "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => {
                Self::Unread("is a sparse tensor; save it with .to_dense()")
            }
            "_rebuild_qtensor" => Self::Unread("is a quantised tensor; save it with .dequantize()"),
            "_rebuild_nested_tensor" => Self::Unread("is a nested tensor; save it with .to_padded_tensor(0)"),
            "_rebuild_meta_tensor_no_storage" => Self::Unread("is a tensor on the meta device, which has no values"),
            "_rebuild_wrapper_subclass" => {
                Self::Unread("is a tensor of a class of its own without values; save a plain one")
            }
            _ if function.starts_with("_rebuild_") => {
                Self::Unread("is a tensor of a kind that cannot be read; save it with .cpu().clone()")
            }
            _ => return None,
        })
    }
}
