//! A parser of Python's pickles, protocols 0 to 5, into a flat list of values.
//!
//! The list grows with the file and no faster: nothing is called, nested or copied. What a pickle would make with code of its
//! own stands in the list as an object that is not known further.

use super::element::Element;
use super::fault::{CUT_SHORT, DAMAGED, Read};
use super::value::{BYTES, Class, FALSE, FLOAT, Id, NONE, Object, TRUE, Value};
use std::collections::HashMap;

/// More values than any checkpoint has, and few enough for every memory.
const MOST_VALUES: usize = 1 << 22;

/// More arguments than any call has that matters here.
pub const MOST_ARGUMENTS: usize = 9;

/// What a pickle refers to again, by number: mostly counted up from 0.
#[derive(Default)]
struct Memo {
    counted: Vec<Id>,
    others: HashMap<u32, Id>,
}

impl Memo {
    fn len(&self) -> usize {
        self.counted.len() + self.others.len()
    }

    fn insert(&mut self, key: u32, id: Id) {
        let place = key as usize;
        if place < self.counted.len() {
            self.counted[place] = id;
        } else if place == self.counted.len() && !self.others.contains_key(&key) {
            self.counted.push(id);
        } else {
            self.others.insert(key, id);
        }
    }

    fn get(&self, key: u32) -> Option<Id> {
        self.counted.get(key as usize).or_else(|| self.others.get(&key)).copied()
    }
}

/// Reads the pickles of a file one after another, and the bytes between them.
pub struct Reader<'a> {
    rest: &'a [u8],
    pub values: Vec<Value<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Memo,
    /// How many values there are, a tensor with many dimensions counted as many.
    weight: usize,
    /// The type and length of each storage that a pickle refers to.
    pub storages: HashMap<&'a str, (&'static Element, usize)>,
}

impl<'a> Reader<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        let (stack, marks, memo, storages) = Default::default();
        Self { rest, values: Value::constants(), stack, marks, memo, weight: 0, storages }
    }

    /// Reads a pickle to its end.
    pub fn pickle(&mut self) -> Read<Id> {
        self.stack.clear();
        self.marks.clear();
        self.memo = Memo::default();
        loop {
            match self.bytes()? {
                [b'.'] => return self.pop(),
                [code] => self.step(code)?,
            }
        }
    }

    fn step(&mut self, code: u8) -> Read<()> {
        match code {
            // The pickle's version, and the length of a frame.
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'N' => self.push_again(NONE),
            0x88 => self.push_again(TRUE),
            0x89 => self.push_again(FALSE),
            b'K' | b'M' | b'J' | 0x8a | 0x8b | b'I' | b'L' => self.integer(code),
            b'G' => self.take(8).and_then(|_| self.push_again(FLOAT)),
            b'F' => self.line().and_then(|_| self.push_again(FLOAT)),
            b'U' | b'T' | b'X' | 0x8c | 0x8d | b'S' | b'V' => self.text(code),
            b'C' | b'B' | 0x8e | 0x96 => self.opaque(code),
            // Buffers lie outside of a pickle, which torch.save never writes.
            0x97 => self.push_again(BYTES),
            0x98 => self.last().map(drop),
            0x82..=0x84 => self.take(1 << (code - 0x82)).and_then(|_| self.push_again(BYTES)),
            b'c' | 0x93 | b'i' | b'o' | b'R' | 0x81 | 0x92 | b'b' | b'Q' | b'P' => self.construct(code),
            b'q' | b'r' | b'p' | b'h' | b'j' | b'g' | 0x94 => self.memo(code),
            b'(' | b'0' | b'1' | b'2' => self.stack(code),
            _ => self.collect(code),
        }
    }

    /// Tuples, lists, dicts and sets.
    fn collect(&mut self, code: u8) -> Read<()> {
        match code {
            b')' => self.push(Value::Tuple(vec![])),
            0x85..=0x87 => self.popped(usize::from(code - 0x84)).and_then(|items| self.push(Value::Tuple(items))),
            b't' => self.marked().and_then(|items| self.push(Value::Tuple(items))),
            b']' => self.push(Value::List(vec![])),
            b'l' => self.marked().and_then(|items| self.push(Value::List(items))),
            b'a' => self.popped(1).and_then(|items| self.append(items)),
            b'e' | 0x90 => self.marked().and_then(|items| self.append(items)),
            b'}' => self.push(Value::Dict(vec![])),
            b'd' => self.marked().and_then(|items| {
                self.push(Value::Dict(vec![]))?;
                self.set(&items)
            }),
            b's' => self.popped(2).and_then(|items| self.set(&items)),
            b'u' => self.marked().and_then(|items| self.set(&items)),
            0x8f => self.push(Object::of("builtins", "set")),
            0x91 => self.marked().and_then(|_| self.push(Object::of("builtins", "frozenset"))),
            code => Err(format!("its pickle has the opcode {code:#04x}, which there is not")),
        }
    }

    fn stack(&mut self, code: u8) -> Read<()> {
        match code {
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            // As in Python: where a mark lies on top, it is what goes.
            b'0' if self.marks.last() == Some(&self.stack.len()) => self.marked().map(drop),
            b'0' => self.pop().map(drop),
            b'1' => self.marked().map(drop),
            _ => self.last().and_then(|id| self.push_again(id)),
        }
    }

    fn memo(&mut self, code: u8) -> Read<()> {
        let key = match code {
            0x94 => self.memo.len() as u32,
            b'p' | b'g' => self.line()?.parse().map_err(|_| DAMAGED)?,
            b'q' | b'h' => self.unsigned(1)? as u32,
            _ => self.unsigned(4)? as u32,
        };
        if matches!(code, b'h' | b'j' | b'g') {
            let id = self.memo.get(key).ok_or(DAMAGED)?;
            return self.push_again(id);
        }
        let id = self.last()?;
        self.memo.insert(key, id);
        Ok(())
    }

    /// Classes, and what is made of them.
    fn construct(&mut self, code: u8) -> Read<()> {
        match code {
            b'c' => self.class(),
            0x93 => self.popped(2).and_then(|names| match (self.value(names[0]), self.value(names[1])) {
                (&Value::Text(module), &Value::Text(name)) => self.push(Value::Class(Class::of(module, name))),
                _ => Err(DAMAGED.into()),
            }),
            b'i' => {
                self.class()?;
                let class = self.pop()?;
                let arguments = self.marked()?;
                self.make(class, &arguments)
            }
            b'o' => self.marked().and_then(|items| match items.as_slice() {
                [class, arguments @ ..] => self.make(*class, arguments),
                [] => Err(DAMAGED.into()),
            }),
            b'R' | 0x81 | 0x92 => {
                // Named arguments change nothing of what is known here.
                let taken = self.popped(if code == 0x92 { 3 } else { 2 })?;
                let arguments: Vec<Id> = self.tuple(taken[1])?.iter().take(MOST_ARGUMENTS).copied().collect();
                self.make(taken[0], &arguments)
            }
            b'b' => self.build(),
            b'P' => self.line().and_then(|_| self.push_again(BYTES)),
            _ => self.persistent(),
        }
    }

    fn class(&mut self) -> Read<()> {
        let (module, name) = (self.line()?, self.line()?);
        self.push(Value::Class(Class::of(module, name)))
    }

    fn integer(&mut self, code: u8) -> Read<()> {
        let number = match code {
            b'K' => self.unsigned(1)? as i64,
            b'M' => self.unsigned(2)? as i64,
            b'J' => i32::from_le_bytes(self.bytes()?).into(),
            b'I' | b'L' => match self.line()? {
                "01" => return self.push_again(TRUE),
                "00" => return self.push_again(FALSE),
                line => match line.trim_end_matches('L').parse() {
                    Ok(number) => number,
                    Err(_) => return self.push_again(BYTES),
                },
            },
            _ => {
                let len = self.unsigned(if code == 0x8a { 1 } else { 4 })?;
                let bytes = self.take(len)?;
                if bytes.len() > 8 {
                    return self.push_again(BYTES);
                }
                let sign = if bytes.last().is_some_and(|&byte| byte > 0x7f) { -1 } else { 0 };
                bytes.iter().rev().fold(sign, |number, &byte| number << 8 | i64::from(byte))
            }
        };
        self.push(Value::Integer(number))
    }

    fn text(&mut self, code: u8) -> Read<()> {
        let bytes = match code {
            b'S' => self.line()?.trim_matches(['\'', '"']).as_bytes(),
            b'V' => self.line()?.as_bytes(),
            b'U' | 0x8c => self.unsigned(1).and_then(|len| self.take(len))?,
            0x8d => self.unsigned(8).and_then(|len| self.take(len))?,
            _ => self.unsigned(4).and_then(|len| self.take(len))?,
        };
        // A Python 2 has bytes in its texts, and the oldest protocol has escapes.
        let escaped = matches!(code, b'S' | b'V') && bytes.contains(&b'\\');
        match std::str::from_utf8(bytes) {
            Ok(text) if !escaped => self.push(Value::Text(text)),
            _ => self.push_again(BYTES),
        }
    }

    fn opaque(&mut self, code: u8) -> Read<()> {
        let len = self.unsigned(match code {
            b'C' => 1,
            b'B' => 4,
            _ => 8,
        })?;
        self.take(len)?;
        self.push_again(BYTES)
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

    fn unsigned(&mut self, bytes: usize) -> Read<usize> {
        let number = self.take(bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
        usize::try_from(number).map_err(|_| CUT_SHORT.into())
    }

    fn line(&mut self) -> Read<&'a str> {
        let len = self.rest.iter().position(|&byte| byte == b'\n').ok_or(CUT_SHORT)?;
        let line = self.take(len)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| DAMAGED.into())
    }

    pub fn push_again(&mut self, id: Id) -> Read<()> {
        self.stack.push(id);
        Ok(())
    }

    pub fn push(&mut self, value: Value<'a>) -> Read<()> {
        self.weight += if let Value::Tensor(view) = &value { 1 + view.size.len() } else { 1 };
        if self.weight > MOST_VALUES {
            return Err("it holds more than a checkpoint".into());
        }
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    pub fn pop(&mut self) -> Read<Id> {
        self.stack.pop().ok_or_else(|| DAMAGED.into())
    }

    pub fn popped(&mut self, count: usize) -> Read<Vec<Id>> {
        let first = self.stack.len().checked_sub(count).ok_or(DAMAGED)?;
        Ok(self.stack.split_off(first))
    }

    /// Takes what was pushed since the last mark.
    fn marked(&mut self) -> Read<Vec<Id>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or(DAMAGED)?;
        Ok(self.stack.split_off(mark))
    }

    pub fn last(&self) -> Read<Id> {
        self.stack.last().copied().ok_or_else(|| DAMAGED.into())
    }

    pub fn value(&self, id: Id) -> &Value<'a> {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    pub fn value_mut(&mut self, id: Id) -> Read<&mut Value<'a>> {
        self.values.get_mut(id as usize).ok_or_else(|| DAMAGED.into())
    }

    /// A number that is no less than 0.
    pub fn number(&self, id: Id) -> Read<usize> {
        match self.value(id) {
            Value::Integer(number) => usize::try_from(*number).map_err(|_| DAMAGED.into()),
            _ => Err(DAMAGED.into()),
        }
    }

    pub fn tuple(&self, id: Id) -> Read<&[Id]> {
        match self.value(id) {
            Value::Tuple(items) => Ok(items),
            _ => Err(DAMAGED.into()),
        }
    }

    fn append(&mut self, mut items: Vec<Id>) -> Read<()> {
        match self.last().and_then(|id| self.value_mut(id))? {
            Value::List(list) => list.append(&mut items),
            Value::Object(object) => object.items.extend(items.into_iter().map(|item| (NONE, item))),
            _ => return Err(DAMAGED.into()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Read<()> {
        let (pairs, []) = items.as_chunks() else { return Err(DAMAGED.into()) };
        let pairs = pairs.iter().map(|&[key, value]| (key, value));
        match self.last().and_then(|id| self.value_mut(id))? {
            Value::Dict(dict) => dict.extend(pairs),
            Value::Object(object) => object.items.extend(pairs),
            _ => return Err(DAMAGED.into()),
        }
        Ok(())
    }
}
