//! Finding the state dict in a checkpoint: the tensors of nested dicts, or the keys under which there are some.

use super::unpickle::Reader;
use super::value::{Id, Object, Value};
use super::view::View;
use crate::text::{shortened, shown};
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// How deep dicts may lie in one another.
const DEEPEST: usize = 16;
/// More letters than the names of any checkpoint have.
const MOST_LETTERS: usize = 1 << 26;
/// How many dicts are looked into for a hint.
const MOST_LOOKED_AT: usize = 10_000;

/// What a state dict holds.
#[derive(Default)]
pub struct State<'r, 'a> {
    /// Its tensors by name, or why one cannot be read.
    pub tensors: BTreeMap<String, Result<&'r View<'a>, String>>,
    /// Numbers, texts and the like.
    pub plain: Vec<String>,
}

/// Looks for the state dict, at the top or under a key.
///
/// # Errors
/// What to do instead, without the file's name.
pub fn find<'r, 'a>(reader: &'r Reader<'a>, top: Id, key: Option<&str>) -> Result<State<'r, 'a>, String> {
    let finder = Finder { reader, holding: holding(reader, top) };
    match key {
        None | Some("") => {
            finder.refuse_other(top, "holds")?;
            if key.is_none() && finder.children(top).any(|(_, child)| finder.is_nest(child)) {
                return Err(finder.under_keys(top));
            }
            finder.flat(top, "")
        }
        Some(key) => {
            let found = finder.walk(top, key)?;
            finder.refuse_other(found, &format!("holds under {key:?}"))?;
            finder.flat(found, &format!(" under {key:?}"))
        }
    }
}

struct Finder<'r, 'a> {
    reader: &'r Reader<'a>,
    /// Which dicts, lists and objects have tensors in them, however deep.
    holding: HashSet<Id>,
}

/// What lies in a dict, a list, or an object that is one, under its keys.
fn items<'r>(reader: &'r Reader, id: Id) -> (&'r [(Id, Id)], &'r [Id]) {
    match reader.value(id) {
        Value::Dict(items) => (items, &[]),
        Value::Object(object) => (&object.items, &[]),
        Value::List(items) | Value::Tuple(items) => (&[], items),
        _ => (&[], &[]),
    }
}

/// All that have a tensor in them, found in one walk that goes into each once.
fn holding(reader: &Reader, top: Id) -> HashSet<Id> {
    let (mut seen, mut holding) = (HashSet::new(), HashSet::new());
    // The way down, and which child is next on it.
    let mut path = vec![(top, 0)];
    while let Some((id, next)) = path.pop() {
        let (pairs, list) = items(reader, id);
        let child = pairs.get(next).map(|&(_, value)| value).or_else(|| list.get(next).copied());
        let Some(child) = child else {
            if holding.contains(&id) {
                holding.extend(path.last().map(|&(parent, _)| parent));
            }
            continue;
        };
        path.push((id, next + 1));
        match reader.value(child) {
            Value::Tensor(_) | Value::Unread(_) | Value::Blank => holding.extend([id]),
            Value::Object(object) if is_module(reader, object) => holding.extend([id, child]),
            _ if holding.contains(&child) => holding.extend([id]),
            Value::Dict(_) | Value::Object(_) | Value::List(_) | Value::Tuple(_) if seen.insert(child) => {
                path.push((child, 0));
            }
            _ => {}
        }
    }
    holding
}

/// Whether an object has what every `torch.nn.Module` has.
fn is_module(reader: &Reader, object: &Object) -> bool {
    let Value::Dict(attributes) = reader.value(object.state) else { return false };
    attributes.iter().any(|&(key, _)| matches!(reader.value(key), Value::Text("_modules")))
}

impl<'r, 'a> Finder<'r, 'a> {
    /// What lies in a dict or list, under its keys as text; of a name that comes twice the last, as in Python.
    fn children(&self, id: Id) -> impl Iterator<Item = (Option<Cow<'a, str>>, Id)> + use<'r, 'a> {
        let reader = self.reader;
        let (pairs, list) = items(reader, id);
        let text = move |key: Id| match reader.value(key) {
            Value::Text(text) => Some(Cow::Borrowed(*text)),
            Value::Integer(number) => Some(number.to_string().into()),
            _ => None,
        };
        let pairs = pairs.iter().map(move |&(key, value)| (text(key), value));
        pairs.chain(list.iter().enumerate().map(|(index, &value)| (Some(index.to_string().into()), value)))
    }

    fn module(&self, id: Id) -> Option<&'r Object<'a>> {
        match self.reader.value(id) {
            Value::Object(object) if is_module(self.reader, object) => Some(object),
            _ => None,
        }
    }

    /// Whether a value is not a tensor, but has some in it.
    fn is_nest(&self, id: Id) -> bool {
        self.holding.contains(&id)
    }

    /// Refuses what cannot be a state dict.
    fn refuse_other(&self, id: Id, holds: &str) -> Result<(), String> {
        let class = |object: &Object| shown(&format!("{}.{}", object.module, object.name));
        if let Some(module) = self.module(id) {
            let class = class(module);
            return Err(format!(
                "{holds} a whole module ({class}); in PyTorch, save the module's state_dict() instead"
            ));
        }
        Err(match self.reader.value(id) {
            Value::Dict(_) | Value::List(_) | Value::Tuple(_) => return Ok(()),
            Value::Object(object) if !object.items.is_empty() => return Ok(()),
            Value::Object(object) => format!("{holds} an object ({}) and no state dict", class(object)),
            Value::Tensor(_) | Value::Unread(_) => format!("{holds} one tensor without a name; save a dict of tensors"),
            _ => format!("{holds} no tensors"),
        })
    }

    /// What lies under a key: itself, or else each part of it between dots under the one before.
    fn walk(&self, top: Id, key: &str) -> Result<Id, String> {
        let under = |id: Id, key: &str| {
            self.children(id).filter(|(name, _)| name.as_deref() == Some(key)).last().map(|(_, child)| child)
        };
        let (mut at, mut rest) = (top, key);
        loop {
            if let Some(found) = under(at, rest) {
                return Ok(found);
            }
            // The longest part that is a key.
            let parts = rest.match_indices('.').rev().map(|(dot, _)| (&rest[..dot], &rest[dot + 1..]));
            let step = parts.filter_map(|(part, more)| Some((under(at, part)?, more))).next();
            let Some((next, more)) = step else {
                let names: Vec<String> = self.children(at).filter_map(|(name, _)| Some(shown(&name?))).collect();
                let names = if names.is_empty() { "nothing".into() } else { shortened(&names) };
                let place = key.strip_suffix(rest).unwrap_or_default().trim_end_matches('.');
                let place = if place.is_empty() { String::new() } else { format!(" under {place}") };
                return Err(format!("has no key {}{place}; it has {names}", shown(rest)));
            };
            (at, rest) = (next, more);
        }
    }

    /// The tensors of a dict and of all that lie in it, under their keys with dots between.
    fn flat(&self, top: Id, place: &str) -> Result<State<'r, 'a>, String> {
        let (mut state, mut letters) = (State::default(), 0);
        let mut nests = vec![(String::new(), top, 0)];
        while let Some((path, id, depth)) = nests.pop() {
            for (name, child) in self.entries(id)? {
                letters += path.len() + name.len() + 1;
                if depth == DEEPEST || letters > MOST_LETTERS {
                    return Err(format!("nests deeper than a state dict{place}, at {}", shown(&name)));
                }
                let full = if path.is_empty() { name.into_owned() } else { format!("{path}.{name}") };
                self.take(full, child, depth, &mut nests, &mut state)?;
            }
        }
        if state.tensors.is_empty() {
            let found =
                if state.plain.is_empty() { "is empty".into() } else { format!("has {}", shortened(&state.plain)) };
            return Err(format!("holds no tensors{place}; it {found}"));
        }
        Ok(state)
    }

    fn take(
        &self,
        name: String,
        child: Id,
        depth: usize,
        nests: &mut Vec<(String, Id, usize)>,
        state: &mut State<'r, 'a>,
    ) -> Result<(), String> {
        let tensor = match self.reader.value(child) {
            Value::Tensor(view) => Ok(view.as_ref()),
            Value::Unread(why) => Err(why.to_string()),
            Value::Blank => Err("is a tensor without values".into()),
            Value::Storage(_) => Err("is a storage and no tensor; save a tensor of it".into()),
            _ if self.module(child).is_some() => Err("is a whole module; save its state_dict()".into()),
            _ if self.is_nest(child) => {
                nests.push((name, child, depth + 1));
                return Ok(());
            }
            Value::Object(object) if !object.is_plain() => {
                let (module, class) = (object.module, object.name);
                Err(match class {
                    "_reconstruct" if module.starts_with("numpy") => {
                        "is a NumPy array and no tensor; save it with torch.from_numpy".into()
                    }
                    _ => format!("is an object ({}) and no tensor", shown(&format!("{module}.{class}"))),
                })
            }
            Value::Dict(_) if name == "_metadata" => return Ok(()),
            _ => {
                state.plain.push(name);
                return Ok(());
            }
        };
        match state.tensors.insert(name.clone(), tensor) {
            Some(_) => Err(format!("holds {} twice", shown(&name))),
            None => Ok(()),
        }
    }

    /// The entries of a dict; of a key that comes twice the last, as in Python.
    fn entries(&self, id: Id) -> Result<Vec<(Cow<'a, str>, Id)>, String> {
        let (mut entries, mut places) = (Vec::<(Cow<str>, Id)>::new(), HashMap::<_, usize>::new());
        let is_number = |index| matches!(items(self.reader, id).0.get(index), Some(&(key, _)) if self.is_number(key));
        for (index, (name, child)) in self.children(id).enumerate() {
            let Some(name) = name else {
                if self.is_tensor(child) || self.is_nest(child) {
                    return Err("has tensors under a key that is neither text nor number; give it a name".into());
                }
                continue;
            };
            match places.entry((is_number(index), name.clone())) {
                Entry::Occupied(before) => entries[*before.get()].1 = child,
                Entry::Vacant(place) => {
                    place.insert(entries.len());
                    entries.push((name, child));
                }
            }
        }
        Ok(entries)
    }

    fn is_number(&self, id: Id) -> bool {
        matches!(self.reader.value(id), Value::Integer(_))
    }

    /// What to do about a checkpoint whose state dict lies under a key: the keys that there are.
    fn under_keys(&self, top: Id) -> String {
        let (mut states, mut others) = (Vec::new(), Vec::new());
        let mut nests = VecDeque::from([(String::new(), top, 0)]);
        let mut seen = HashSet::new();
        while let Some((path, id, depth)) = nests.pop_front() {
            for (name, child) in self.children(id).filter(|&(_, child)| self.is_nest(child)) {
                let (Some(name), true) = (name, seen.len() < MOST_LOOKED_AT && seen.insert(child)) else { continue };
                let full = shown(&if path.is_empty() { name.into_owned() } else { format!("{path}.{name}") });
                let direct = self.children(child).filter(|&(_, inner)| self.is_tensor(inner)).count();
                if full.to_lowercase().contains("optim") {
                    others.push((full, self.count(child)));
                } else if self.module(child).is_some() || direct > 0 {
                    states.push((full, direct));
                } else if depth < 3 {
                    nests.push_back((full, child, depth + 1));
                } else {
                    others.push((full, self.count(child)));
                }
            }
        }
        let told = |(name, count): &(String, usize)| match count {
            0 => format!("{} (a whole module: save its state_dict() instead)", shown(name)),
            count => format!("{} ({count} tensors)", shown(name)),
        };
        // The first one that can be taken is what a hint names.
        let best = states.iter().chain(&others).find(|(_, count)| *count > 0).map(|(name, _)| shown(name));
        let keys = shortened(&states.iter().chain(&others).map(told).collect::<Vec<_>>());
        let beside = self.children(top).filter(|&(_, child)| self.is_tensor(child)).count();
        let beside =
            if beside > 0 { format!(" (--key '' takes all, with the {beside} beside it)") } else { String::new() };
        match best {
            Some(best) => {
                format!("holds its state dict under a key: {keys}; name it: candlewick convert --key {best}{beside}")
            }
            None => format!("holds no state dict, but {keys}"),
        }
    }

    fn is_tensor(&self, id: Id) -> bool {
        matches!(self.reader.value(id), Value::Tensor(_) | Value::Unread(_))
    }

    /// How many tensors lie in a dict, however deep.
    fn count(&self, id: Id) -> usize {
        let (mut count, mut seen, mut nests) = (0, HashSet::new(), vec![id]);
        while let Some(id) = nests.pop() {
            for (_, child) in self.children(id) {
                count += usize::from(self.is_tensor(child));
                if self.is_nest(child) && seen.insert(child) {
                    nests.push(child);
                }
            }
        }
        count
    }
}
