//! Python's pickles, as far as a state dict needs them.
//!
//! candle's reader takes one pickle a file, no strings of Python 2, and a length at its word. Here a pickle is taken apart in
//! place into a flat list of values, which grows with the file and no faster: nothing is called, nested or copied.

use super::view::{Storage, View};
use candle_core::DType;
use std::collections::{BTreeMap, HashMap};

/// What is wrong with a file, without its name.
pub type Read<T> = std::result::Result<T, String>;

pub const CUT_SHORT: &str = "it is cut short";
pub const ODD: &str = "its pickle is damaged";

/// More values than any state dict has, and few enough for every memory.
const MOST_VALUES: usize = 1 << 21;

/// The most dimensions that PyTorch gives a tensor.
const MOST_DIMENSIONS: usize = 64;

/// Where a value stands in the list of all: what a pickle refers to twice is there once.
pub type Id = u32;

/// None, truth values, floats and long numbers, of which no tensor is made, are all one value.
const OTHER: Id = 0;

enum Value<'a> {
    Other,
    Integer(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Class(Class),
    Storage(Storage<'a>),
    /// A tensor of before 0.2, whose storage follows.
    Blank,
    Tensor(Box<View<'a>>),
}

/// What a pickle may name.
#[derive(Clone, Copy)]
enum Class {
    Dict,
    Size,
    Rebuild,
    Parameter,
    Blank,
    Storage(DType),
}

impl Class {
    fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::Dict,
            ("torch", "Size") => Self::Size,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Rebuild,
            ("torch._utils", "_rebuild_parameter") | ("torch.nn.parameter", "Parameter") => Self::Parameter,
            ("torch" | "torch.cuda", name) => match name.strip_suffix("Storage") {
                Some(kind) => Self::Storage(dtype(kind)?),
                None => dtype(name.strip_suffix("Tensor")?).map(|_| Self::Blank)?,
            },
            _ => return None,
        })
    }
}

fn dtype(kind: &str) -> Option<DType> {
    Some(match kind {
        "Float" => DType::F32,
        "Double" => DType::F64,
        "Half" => DType::F16,
        "BFloat16" => DType::BF16,
        "Long" => DType::I64,
        "Int" => DType::I32,
        "Short" => DType::I16,
        "Byte" | "Bool" => DType::U8,
        _ => return None,
    })
}

/// Reads the pickles of a file one after another, and the bytes between them.
pub struct Reader<'a> {
    rest: &'a [u8],
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    storages: HashMap<&'a str, (DType, usize)>,
}

impl<'a> Reader<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        let (stack, marks, memo, storages) = Default::default();
        Self { rest, values: vec![Value::Other], stack, marks, memo, storages }
    }

    /// Reads a pickle to its end.
    pub fn pickle(&mut self) -> Read<Id> {
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        loop {
            match self.bytes()? {
                [b'.'] => return self.pop(),
                [code] => self.step(code)?,
            }
        }
    }

    fn step(&mut self, code: u8) -> Read<()> {
        match code {
            // The pickle's version.
            0x80 => self.take(1).map(drop),
            b'N' | 0x88 | 0x89 => self.push_again(OTHER),
            b'G' => self.take(8).and_then(|_| self.push_again(OTHER)),
            b'K' | b'M' => self.unsigned(if code == b'K' { 1 } else { 2 }).and_then(|n| self.push_number(n.into())),
            b'J' => self.bytes().and_then(|bytes| self.push_number(i32::from_le_bytes(bytes).into())),
            0x8a => self.long(),
            b'U' => self.unsigned(1).and_then(|len| self.text(len)),
            b'T' | b'X' => self.unsigned(4).and_then(|len| self.text(len)),
            b'c' => self.class(),
            b'q' | b'r' => self.unsigned(if code == b'q' { 1 } else { 4 }).and_then(|key| self.memorise(key)),
            b'h' | b'j' => self.unsigned(if code == b'h' { 1 } else { 4 }).and_then(|key| self.recall(key)),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b')' => self.push(Value::Tuple(vec![])),
            0x85..=0x87 => self.popped(usize::from(code - 0x84)).and_then(|items| self.push(Value::Tuple(items))),
            b't' => self.marked().and_then(|items| self.push(Value::Tuple(items))),
            b']' => self.push(Value::List(vec![])),
            b'a' => self.popped(1).and_then(|items| self.append(items)),
            b'e' => self.marked().and_then(|items| self.append(items)),
            b'}' => self.push(Value::Dict(vec![])),
            b's' => self.popped(2).and_then(|items| self.set(&items)),
            b'u' => self.marked().and_then(|items| self.set(&items)),
            b'R' | 0x81 => self.make(),
            b'b' => self.build(),
            b'Q' => self.storage(),
            code => Err(format!("its pickle has the opcode {code:#04x}, which no state dict needs")),
        }
    }

    /// The next bytes of the file.
    pub fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    /// As many of the next bytes as are wanted.
    pub fn bytes<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn unsigned(&mut self, bytes: usize) -> Read<u32> {
        let taken = self.take(bytes)?;
        Ok(taken.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    fn line(&mut self) -> Read<&'a str> {
        let len = self.rest.iter().position(|&byte| byte == b'\n').ok_or(CUT_SHORT)?;
        let line = self.take(len)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| ODD.into())
    }

    fn push_again(&mut self, id: Id) -> Read<()> {
        self.stack.push(id);
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) -> Read<()> {
        if self.values.len() >= MOST_VALUES {
            return Err("it holds more than a state dict".into());
        }
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    fn push_number(&mut self, number: i64) -> Read<()> {
        self.push(Value::Integer(number))
    }

    fn pop(&mut self) -> Read<Id> {
        self.stack.pop().ok_or_else(|| ODD.into())
    }

    fn popped(&mut self, count: usize) -> Read<Vec<Id>> {
        let first = self.stack.len().checked_sub(count).ok_or(ODD)?;
        Ok(self.stack.split_off(first))
    }

    /// Takes what was pushed since the last mark.
    fn marked(&mut self) -> Read<Vec<Id>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or(ODD)?;
        Ok(self.stack.split_off(mark))
    }

    fn last(&self) -> Read<Id> {
        self.stack.last().copied().ok_or_else(|| ODD.into())
    }

    fn memorise(&mut self, key: u32) -> Read<()> {
        let id = self.last()?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Read<()> {
        let id = *self.memo.get(&key).ok_or(ODD)?;
        self.push_again(id)
    }

    fn value(&self, id: Id) -> &Value<'a> {
        self.values.get(id as usize).unwrap_or(&Value::Other)
    }

    fn value_mut(&mut self, id: Id) -> Read<&mut Value<'a>> {
        self.values.get_mut(id as usize).ok_or_else(|| ODD.into())
    }

    /// A number that is no less than 0.
    pub fn number(&self, id: Id) -> Read<usize> {
        match self.value(id) {
            Value::Integer(number) => usize::try_from(*number).map_err(|_| ODD.into()),
            _ => Err(ODD.into()),
        }
    }

    fn tuple(&self, id: Id) -> Read<&[Id]> {
        match self.value(id) {
            Value::Tuple(items) => Ok(items),
            _ => Err(ODD.into()),
        }
    }

    fn long(&mut self) -> Read<()> {
        let [len] = self.bytes()?;
        let bytes = self.take(len.into())?;
        if bytes.len() > 8 {
            return self.push_again(OTHER);
        }
        let sign = if bytes.last().is_some_and(|&byte| byte > 0x7f) { -1 } else { 0 };
        self.push_number(bytes.iter().rev().fold(sign, |number, &byte| number << 8 | i64::from(byte)))
    }

    fn text(&mut self, len: u32) -> Read<()> {
        let text = std::str::from_utf8(self.take(len as usize)?).map_err(|_| ODD)?;
        self.push(Value::Text(text))
    }

    fn class(&mut self) -> Read<()> {
        let (module, name) = (self.line()?, self.line()?);
        let class = Class::of(module, name).ok_or_else(|| {
            let named: String = format!("{module}.{name}").chars().take(80).collect();
            format!("it names {named:?}, which is no part of a state dict and is not run")
        })?;
        self.push(Value::Class(class))
    }

    fn append(&mut self, mut items: Vec<Id>) -> Read<()> {
        match self.last().and_then(|id| self.value_mut(id))? {
            Value::List(list) => list.append(&mut items),
            _ => return Err(ODD.into()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Read<()> {
        match (self.last().and_then(|id| self.value_mut(id))?, items.as_chunks()) {
            (Value::Dict(dict), (pairs, [])) => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return Err(ODD.into()),
        }
        Ok(())
    }

    /// What a class makes of its arguments.
    fn make(&mut self) -> Read<()> {
        let (arguments, class) = (self.pop()?, self.pop()?);
        let Value::Class(class) = *self.value(class) else { return Err(ODD.into()) };
        let made = match (class, self.tuple(arguments)?) {
            (Class::Dict, []) => Value::Dict(vec![]),
            (Class::Dict, &[pairs]) => Value::Dict(self.pairs(pairs)?),
            (Class::Size, &[size]) => return self.push_again(size),
            (Class::Rebuild, &[storage, offset, size, stride, ..]) => self.view([storage, offset, size, stride])?,
            (Class::Parameter, &[data, ..]) => return self.push_again(data),
            (Class::Parameter | Class::Blank, []) => Value::Blank,
            _ => return Err(ODD.into()),
        };
        self.push(made)
    }

    /// The entries of an `OrderedDict` as Python 2 writes them, a list of lists; it is used up, so that it makes one dict.
    fn pairs(&mut self, pairs: Id) -> Read<Vec<(Id, Id)>> {
        let Value::List(pairs) = self.value_mut(pairs)? else { return Err(ODD.into()) };
        let pairs = std::mem::take(pairs);
        let pair = |pair| match self.value(pair) {
            Value::List(pair) | Value::Tuple(pair) => match pair[..] {
                [key, value] => Ok((key, value)),
                _ => Err(ODD.into()),
            },
            _ => Err(ODD.into()),
        };
        pairs.into_iter().map(pair).collect()
    }

    /// Gives what is on the stack the state that follows it.
    fn build(&mut self) -> Read<()> {
        let (state, built) = (self.pop()?, self.last()?);
        let tensor = match self.value(built) {
            // What a dict carries beside its entries, such as a state dict's `_metadata`.
            Value::Dict(_) => return Ok(()),
            Value::Blank | Value::Tensor(_) => match *self.tuple(state)? {
                // Whether it has a gradient, and its hooks.
                [_, _, _] => return Ok(()),
                [storage, offset, size, stride] => self.view([storage, offset, size, stride])?,
                [data, _, _, _, _] => match self.value(data) {
                    Value::Tensor(view) => Value::Tensor(view.clone()),
                    _ => return Err(ODD.into()),
                },
                _ => return Err(ODD.into()),
            },
            _ => return Err(ODD.into()),
        };
        *self.value_mut(built)? = tensor;
        Ok(())
    }

    /// A storage by its persistent id: the word, its class, key, device and length, and which part of it is meant.
    fn storage(&mut self) -> Read<()> {
        let id = self.pop()?;
        let &[word, class, key, _, len, part] = self.tuple(id)? else { return Err(ODD.into()) };
        let (&Value::Text("storage"), &Value::Class(Class::Storage(dtype)), &Value::Text(key)) =
            (self.value(word), self.value(class), self.value(key))
        else {
            return Err(ODD.into());
        };
        let whole = self.number(len)?;
        let (start, len) = match part {
            OTHER => (0, whole),
            part => match *self.tuple(part)? {
                [_, start, len] => (self.number(start)?, self.number(len)?),
                _ => return Err(ODD.into()),
            },
        };
        let fits = start.checked_add(len).is_some_and(|end| end <= whole);
        if !fits || *self.storages.entry(key).or_insert((dtype, whole)) != (dtype, whole) {
            return Err("a storage is not as long as its parts".into());
        }
        self.push(Value::Storage(Storage { key, dtype, start, len }))
    }

    fn view(&self, [storage, offset, size, stride]: [Id; 4]) -> Read<Value<'a>> {
        let Value::Storage(storage) = self.value(storage) else { return Err(ODD.into()) };
        let numbers = |id| match self.tuple(id) {
            Ok(numbers) if numbers.len() <= MOST_DIMENSIONS => numbers.iter().map(|&id| self.number(id)).collect(),
            _ => Read::Err(ODD.into()),
        };
        let view = View::new(*storage, self.number(offset)?, numbers(size)?, numbers(stride)?);
        Ok(Value::Tensor(Box::new(view.ok_or("a tensor reaches past the end of its storage")?)))
    }

    /// The type and length of a storage that the object refers to.
    pub fn declared(&self, key: &str) -> Read<(DType, usize)> {
        self.storages.get(key).copied().ok_or_else(|| ODD.into())
    }

    /// The texts of a list.
    pub fn texts(&self, list: Id) -> Read<Vec<&'a str>> {
        let Value::List(list) = self.value(list) else { return Err(ODD.into()) };
        let text = |&id: &Id| match *self.value(id) {
            Value::Text(text) => Ok(text),
            _ => Err(ODD.into()),
        };
        list.iter().map(text).collect()
    }

    /// What a dict holds under a key.
    pub fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let Value::Dict(entries) = self.value(dict) else { return None };
        let is_key = |id: Id| matches!(*self.value(id), Value::Text(text) if text == key);
        entries.iter().rev().find(|(name, _)| is_key(*name)).map(|&(_, value)| value)
    }

    /// The tensors of a dict; the last of a name, as in Python.
    pub fn tensors(&self, dict: Id) -> BTreeMap<&'a str, &View<'a>> {
        let Value::Dict(entries) = self.value(dict) else { return BTreeMap::new() };
        let tensor = |&(name, value): &(Id, Id)| match (self.value(name), self.value(value)) {
            (Value::Text(name), Value::Tensor(view)) => Some((*name, view.as_ref())),
            _ => None,
        };
        entries.iter().filter_map(tensor).collect()
    }
}
