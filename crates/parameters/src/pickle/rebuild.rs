//! The classes and functions that a checkpoint's pickle calls: dicts, storages and `_rebuild_tensor` in its forms.

use super::element::Element;
use super::fault::{DAMAGED, Read};
use super::unpickle::{MOST_ARGUMENTS, Reader};
use super::value::{Class, Id, NONE, Object, Value};
use super::view::{Storage, View};

/// The most dimensions that PyTorch gives a tensor.
const MOST_DIMENSIONS: usize = 64;

/// What a call gives: an existing value, or a new one.
enum Made<'a> {
    Existing(Id),
    New(Value<'a>),
}

impl<'a> Reader<'a> {
    /// Pushes what a class makes of its arguments.
    pub fn make(&mut self, class: Id, arguments: &[Id]) -> Read<()> {
        let made = match *self.value(class) {
            Value::Class(Class::FromType) => match *arguments {
                [rebuild, _, inner, ..] => match (self.value(rebuild), self.value(inner)) {
                    (Value::Class(Class::FromType), _) => return Err(DAMAGED.into()),
                    (&Value::Class(rebuild), Value::Tuple(inner)) => {
                        let inner: Vec<Id> = inner.iter().take(MOST_ARGUMENTS).copied().collect();
                        self.made(rebuild, &inner)?
                    }
                    _ => Made::New(Object::of("torch", "Tensor")),
                },
                _ => return Err(DAMAGED.into()),
            },
            Value::Class(class) => self.made(class, arguments)?,
            // What a call of before gave, such as an attribute of a class.
            Value::Object(ref object) => Made::New(Object::of(object.module, object.name)),
            _ => return Err(DAMAGED.into()),
        };
        match made {
            Made::Existing(id) => self.push_again(id),
            Made::New(value) => self.push(value),
        }
    }

    fn made(&mut self, class: Class<'a>, arguments: &[Id]) -> Read<Made<'a>> {
        Ok(Made::New(match (class, arguments) {
            (Class::Dict, &[items]) if matches!(self.value(items), Value::Dict(_)) => return Ok(Made::Existing(items)),
            (Class::Dict, &[items]) if matches!(self.value(items), Value::List(_)) => Value::Dict(self.pairs(items)?),
            // What makes the values that a defaultdict lacks.
            (Class::Dict, [] | [_]) => Value::Dict(vec![]),
            (Class::Size, &[size]) => return Ok(Made::Existing(size)),
            (Class::Rebuild, &[storage, offset, size, stride, ref more @ ..]) => {
                let metadata = more.get(2).copied();
                self.view([storage, offset, size, stride], None, metadata)?
            }
            (Class::RebuildTyped, &[storage, offset, size, stride, _, _, dtype, ref more @ ..]) => {
                let metadata = more.first().copied();
                match *self.value(dtype) {
                    Value::Class(Class::Element(element)) => {
                        self.view([storage, offset, size, stride], Some(element), metadata)?
                    }
                    Value::Class(Class::Other(module, name)) => Value::Unread(of_type(module, name)),
                    _ => return Err(DAMAGED.into()),
                }
            }
            (Class::Parameter, &[data, ..]) => return Ok(Made::Existing(data)),
            (Class::Parameter | Class::Blank, []) => Value::Blank,
            (Class::Unread(why), _) => Value::Unread(why.into()),
            (Class::Other(module, name), _) => Object::of(module, name),
            (Class::Storage(element) | Class::Element(element), _) => Object::of("torch", element.name),
            (Class::FromType | Class::Dict | Class::Size | Class::Rebuild | Class::RebuildTyped | Class::Blank, _) => {
                return Err(DAMAGED.into());
            }
        }))
    }

    /// The entries of an `OrderedDict` as Python 2 writes them, a list of lists; it is used up, so that it makes one dict.
    fn pairs(&mut self, pairs: Id) -> Read<Vec<(Id, Id)>> {
        let Value::List(list) = self.value_mut(pairs)? else { return Err(DAMAGED.into()) };
        let list = std::mem::take(list);
        let pair = |id: Id| match self.value(id) {
            Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(DAMAGED.into()),
        };
        list.into_iter().map(pair).collect()
    }

    /// Gives the value on top of the stack its state.
    pub fn build(&mut self) -> Read<()> {
        let (state, built) = (self.pop()?, self.last()?);
        let tensor = match (self.value(built), self.value(state)) {
            (Value::Blank | Value::Tensor(_), Value::Tuple(parts)) => match *parts.as_slice() {
                // Whether it has a gradient, and its hooks.
                [_, _, _] => return Ok(()),
                [storage, offset, size, stride] => self.view([storage, offset, size, stride], None, None)?,
                [data, _, _, _, _] => match self.value(data) {
                    Value::Tensor(view) => Value::Tensor(view.clone()),
                    _ => return Err(DAMAGED.into()),
                },
                // Attributes, and those that lie in slots.
                [_, _] => return Ok(()),
                _ => return Err(DAMAGED.into()),
            },
            (Value::Object(_), _) => {
                if let Value::Object(object) = self.value_mut(built)? {
                    object.state = state;
                }
                return Ok(());
            }
            // A state dict's `_metadata`, and attributes of tensors.
            (Value::Dict(_) | Value::Blank | Value::Tensor(_) | Value::Unread(_), _) => return Ok(()),
            // What another class's values are made of.
            (Value::Bytes | Value::Class(_) | Value::List(_) | Value::Tuple(_), _) => return Ok(()),
            _ => return Err(DAMAGED.into()),
        };
        *self.value_mut(built)? = tensor;
        Ok(())
    }

    /// A storage by its persistent id: the word, its class, key, device and length, and which part of it is meant. Before 1.6
    /// the class of a module with its source too.
    pub fn persistent(&mut self) -> Read<()> {
        let id = self.pop()?;
        let parts = self.tuple(id)?;
        let storage = |word: Id| matches!(*self.value(word), Value::Text("storage"));
        match *parts {
            [word, class, key, _, len] if storage(word) => self.storage(class, key, len, NONE),
            [word, class, key, _, len, part] if storage(word) => self.storage(class, key, len, part),
            [word, class, ..] if matches!(*self.value(word), Value::Text("module")) => self.push_again(class),
            _ => Err(DAMAGED.into()),
        }
    }

    fn storage(&mut self, class: Id, key: Id, len: Id, part: Id) -> Read<()> {
        let element = match *self.value(class) {
            Value::Class(Class::Storage(element)) => element,
            Value::Class(Class::Other(module, name)) => {
                return Err(format!(
                    "its storage is of the class {:?}, which is not known",
                    format!("{module}.{name}")
                ));
            }
            _ => return Err(DAMAGED.into()),
        };
        let Value::Text(key) = *self.value(key) else { return Err(DAMAGED.into()) };
        let whole = self.number(len)?;
        let (start, len) = match part {
            NONE => (0, whole),
            part => match *self.tuple(part)? {
                [_, start, len] => (self.number(start)?, self.number(len)?),
                _ => return Err(DAMAGED.into()),
            },
        };
        let fits = start.checked_add(len).is_some_and(|end| end <= whole);
        if !fits || *self.storages.entry(key).or_insert((element, whole)) != (element, whole) {
            return Err("a storage is not as long as its parts".into());
        }
        self.push(Value::Storage(Box::new(Storage { key, element, start, len })))
    }

    fn view(&self, parts: [Id; 4], element: Option<&'static Element>, metadata: Option<Id>) -> Read<Value<'a>> {
        let [storage, offset, size, stride] = parts;
        let Value::Storage(storage) = self.value(storage) else { return Err(DAMAGED.into()) };
        let numbers = |id| match self.tuple(id) {
            Ok(numbers) if numbers.len() <= MOST_DIMENSIONS => numbers.iter().map(|&id| self.number(id)).collect(),
            _ => Read::Err(DAMAGED.into()),
        };
        let storage = match element {
            Some(element) => storage.seen_as(element).ok_or(DAMAGED)?,
            None => **storage,
        };
        let view = View::new(storage, self.number(offset)?, numbers(size)?, numbers(stride)?);
        let view = view.ok_or("a tensor reaches past the end of its storage")?;
        if storage.element.dtype.is_none() {
            return Ok(Value::Unread(of_type("torch", storage.element.name)));
        }
        // A tensor can be the conjugate or the negative of what its storage holds.
        if metadata.is_some_and(|id| matches!(self.value(id), Value::Dict(entries) if !entries.is_empty())) {
            let why =
                "is a conjugate or a negative that was not worked out; save it with .resolve_conj().resolve_neg()";
            return Ok(Value::Unread(why.into()));
        }
        Ok(Value::Tensor(Box::new(view)))
    }
}

fn of_type(module: &str, name: &str) -> Box<str> {
    format!(
        "is of the type {}, which safetensors has not; save it as float32",
        crate::text::shown(&format!("{module}.{name}"))
    )
    .into()
}
