//! Questions about generated scenes, balanced so that the question alone hardly tells the answer.
//!
//! Who never sees the picture is right with about the chance below, however much she learns:
//!
//! ```text
//! colour      what colour is the star?            a colour               1/7
//! shape       what shape is the red thing?        circle, square …       1/4
//! relation    what is left of the red star?       circle, square …       1/4
//! number      how many shapes are there?          one, two, three        1/3
//! number      how many circles are there?         zero, one, two         1/3
//! existence   is there a red star?                yes, no                1/2
//! ```

use super::{BoundingBox, COLOURS, Extent, Kind, Scene, Shape, relation};
use crate::split::Split;
use candlewick_parameters::Rng;

/// The answers that are numbers, from none on.
const NUMBERS: [&str; 4] = ["zero", "one", "two", "three"];

/// What a question wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum QuestionKind {
    /// The colour of the only shape of a kind.
    Colour,
    /// The kind of the shape of a colour.
    Shape,
    /// The kind of what lies on one side of a shape.
    Relation,
    /// How many there are of something.
    Number,
    /// Whether there is something.
    Existence,
}

impl QuestionKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Colour, Self::Shape, Self::Relation, Self::Number, Self::Existence];

    /// What it is called.
    pub fn word(self) -> &'static str {
        match self {
            Self::Colour => "colour",
            Self::Shape => "shape",
            Self::Relation => "relation",
            Self::Number => "number",
            Self::Existence => "existence",
        }
    }
}

/// A question about a scene and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SceneQuestion {
    /// The question, in lower case with a question mark.
    pub question: String,
    /// The answer, one word.
    pub answer: &'static str,
    /// What it wants to know.
    pub kind: QuestionKind,
    /// The box of the shape that has the answer; nothing where no single shape has it.
    pub asked: Option<BoundingBox>,
}

impl SceneQuestion {
    /// Scene number `index` of a split with `count` questions about it, in the world of this `seed`.
    ///
    /// The same arguments give the same on every machine, and more questions begin with those that fewer are; some may come twice.
    pub fn generate(seed: u64, index: u64, split: Split, count: usize) -> (Scene, Vec<Self>) {
        let scene = Scene::generate(seed, index, split);
        let mut rng = Rng::derive(seed, &format!("scene questions {split}"), index);
        let questions = (0..count).map(|_| Self::draw(&scene, &mut rng)).collect();
        (scene, questions)
    }

    /// A question about this scene, of any kind.
    pub fn draw(scene: &Scene, rng: &mut Rng) -> Self {
        loop {
            let kind = QuestionKind::ALL[rng.below(QuestionKind::ALL.len())];
            // Not everything can be asked of each scene.
            if let Some(asked) = Asked::draw(kind, &scene.shapes, rng) {
                return Self { question: asked.question(rng), answer: asked.answer(), kind, asked: asked.bounds() };
            }
        }
    }
}

/// All answers of all questions.
pub fn answers() -> Vec<&'static str> {
    let mut answers = COLOURS.to_vec();
    answers.extend(Kind::ALL.map(Kind::word));
    answers.extend(NUMBERS);
    answers.extend(["yes", "no"]);
    answers
}

/// A question that fits a scene, with what tells the answer.
#[derive(Clone, Copy, Debug)]
enum Asked<'a> {
    Colour(&'a Shape),
    Shape(&'a Shape),
    /// What lies on this side of the first, which is the second.
    Relation(&'static str, &'a Shape, &'a Shape),
    Number(Counted, usize),
    Existence(usize, Kind, Option<&'a Shape>),
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
enum Counted {
    All,
    Size(Extent),
    Kind(Kind),
}

impl Counted {
    fn draw(rng: &mut Rng) -> Self {
        match rng.below(4) {
            0 => Self::All,
            1 => Self::Size(if rng.chance(0.5) { Extent::Large } else { Extent::Small }),
            _ => Self::Kind(draw_kind(rng)),
        }
    }

    fn count(self, shapes: &[Shape]) -> usize {
        let is = |shape: &&Shape| match self {
            Self::All => true,
            Self::Size(size) => shape.size == size,
            Self::Kind(kind) => shape.kind == kind,
        };
        shapes.iter().filter(is).count()
    }

    /// The share of the scenes with this count that are asked, so that the counts up to two, of all shapes up to three, are equally likely
    /// answers: the probability of the rarest over its own. Scenes have one, two or three shapes with probabilities of 0.2, 0.4 and 0.4.
    fn share(self, count: usize) -> f64 {
        let shares: &[f64] = match self {
            Self::All => &[0.0, 1.0, 0.5, 0.5],
            Self::Size(_) => &[1.0, 0.25 / 0.45, 1.0],
            Self::Kind(_) => &[0.08125 / 0.54375, 0.08125 / 0.36875, 1.0],
        };
        shares.get(count).copied().unwrap_or_default()
    }

    fn words(self) -> String {
        match self {
            Self::All => "shapes".into(),
            Self::Size(size) => format!("{} shapes", size.word()),
            Self::Kind(kind) => format!("{}s", kind.word()),
        }
    }
}

fn draw_kind(rng: &mut Rng) -> Kind {
    Kind::ALL[rng.below(Kind::ALL.len())]
}

impl<'a> Asked<'a> {
    /// A question of this kind; nothing where what was drawn cannot be asked of these shapes.
    fn draw(kind: QuestionKind, shapes: &'a [Shape], rng: &mut Rng) -> Option<Self> {
        let shape = shapes.get(rng.below(shapes.len()))?;
        match kind {
            QuestionKind::Colour => (Counted::Kind(shape.kind).count(shapes) == 1).then_some(Self::Colour(shape)),
            QuestionKind::Shape => Some(Self::Shape(shape)),
            QuestionKind::Relation => {
                let other = shapes.get(rng.below(shapes.len()))?;
                let lies = |of: &Shape| relation(&of.bounds, &shape.bounds);
                let side = lies(other)?;
                // Where it is not clear how a third shape lies, or it lies on the same side, nothing is asked.
                let mut others = shapes.iter().filter(|one| one.colour != shape.colour && one.colour != other.colour);
                others
                    .all(|third| lies(third).is_some_and(|own| own != side))
                    .then_some(Self::Relation(side, shape, other))
            }
            QuestionKind::Number => {
                let counted = Counted::draw(rng);
                let count = counted.count(shapes);
                rng.chance(counted.share(count)).then_some(Self::Number(counted, count))
            }
            QuestionKind::Existence if rng.chance(0.5) => Some(Self::Existence(shape.colour, shape.kind, Some(shape))),
            QuestionKind::Existence => loop {
                let (colour, kind) = (rng.below(COLOURS.len()), draw_kind(rng));
                let there = shapes.iter().any(|own| own.colour == colour && own.kind == kind);
                // What is not there should be looked for: its colour is there, or its form.
                let alike = shapes.iter().any(|own| own.colour == colour || own.kind == kind);
                if alike && !there {
                    return Some(Self::Existence(colour, kind, None));
                }
            },
        }
    }

    /// The question in words, of several that mean the same one.
    fn question(self, rng: &mut Rng) -> String {
        let other = rng.chance(0.5);
        match self {
            Self::Colour(shape) => {
                format!("what {} is the {}?", if other { "colour" } else { "color" }, shape.kind.word())
            }
            Self::Shape(shape) if other => format!("what shape is the {} thing?", colour_of(shape.colour)),
            Self::Shape(shape) => format!("what is the {} shape?", colour_of(shape.colour)),
            Self::Relation(side, of, _) => format!("what is {side} the {} {}?", colour_of(of.colour), of.kind.word()),
            Self::Number(counted, _) => format!("how many {} are there?", counted.words()),
            Self::Existence(colour, kind, _) => {
                let colour = colour_of(colour);
                let article = if colour.starts_with('o') { "an" } else { "a" };
                format!("is there {article} {colour} {}?", kind.word())
            }
        }
    }

    fn answer(self) -> &'static str {
        match self {
            Self::Colour(shape) => colour_of(shape.colour),
            Self::Shape(shape) | Self::Relation(_, _, shape) => shape.kind.word(),
            Self::Number(_, count) => NUMBERS.get(count).copied().unwrap_or_default(),
            Self::Existence(_, _, Some(_)) => "yes",
            Self::Existence(_, _, None) => "no",
        }
    }

    /// The box of the shape that has the answer.
    fn bounds(self) -> Option<BoundingBox> {
        match self {
            Self::Colour(shape) | Self::Shape(shape) | Self::Relation(_, _, shape) => Some(shape.bounds),
            Self::Existence(_, _, shape) => shape.map(|shape| shape.bounds),
            Self::Number(..) => None,
        }
    }
}

fn colour_of(colour: usize) -> &'static str {
    COLOURS.get(colour).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeMap;

    /// Questions with the numbers of their scenes.
    fn some(scenes: u64) -> Vec<(Scene, SceneQuestion)> {
        let of = |index| {
            let (scene, questions) = SceneQuestion::generate(4, index, Split::Train, 4);
            questions.into_iter().map(move |one| (scene.clone(), one))
        };
        (0..scenes).flat_map(of).collect()
    }

    #[test]
    fn the_same_arguments_give_the_same_questions_and_more_begin_alike() {
        let (scene, four) = SceneQuestion::generate(4, 7, Split::Dev, 4);
        assert_eq!(scene, Scene::generate(4, 7, Split::Dev));
        let (_, nine) = SceneQuestion::generate(4, 7, Split::Dev, 9);
        assert!(nine.len() == 9 && nine[..4] == four[..]);
        assert_ne!(SceneQuestion::generate(5, 7, Split::Dev, 9).1, nine);
    }

    /// The answer that the scene's own shapes give, found by reading the question.
    fn read(scene: &Scene, question: &str) -> String {
        let words: Vec<&str> = question.trim_end_matches('?').split(' ').collect();
        let shapes = &scene.shapes;
        let colour = |shape: &Shape| COLOURS[shape.colour];
        let named = |colour_word: &str, kind: &str| {
            shapes.iter().find(|shape| colour(shape) == colour_word && shape.kind.word() == kind)
        };
        match words[..] {
            ["what", "colour" | "color", "is", "the", kind] => {
                let of: Vec<_> = shapes.iter().filter(|shape| shape.kind.word() == kind).collect();
                assert_eq!(of.len(), 1, "{question}");
                colour(of[0]).into()
            }
            ["what", "shape", "is", "the", word, "thing"] | ["what", "is", "the", word, "shape"] => {
                shapes.iter().find(|shape| colour(shape) == word).unwrap().kind.word().into()
            }
            ["what", "is", .., "the", word, kind] => {
                let side = words[2..words.len() - 3].join(" ");
                let anchor = named(word, kind).unwrap();
                let others = shapes.iter().filter(|shape| shape.colour != anchor.colour);
                let there: Vec<_> =
                    others.filter(|shape| relation(&shape.bounds, &anchor.bounds) == Some(side.as_str())).collect();
                assert_eq!(there.len(), 1, "{question}");
                there[0].kind.word().into()
            }
            ["how", "many", .., "are", "there"] => {
                let of = words[2..words.len() - 2].join(" ");
                let counted = shapes.iter().filter(|shape| {
                    let name = format!("{}s", shape.kind.word());
                    [name, format!("{} shapes", shape.size.word()), "shapes".into()].contains(&of)
                });
                NUMBERS[counted.count()].into()
            }
            ["is", "there", "a" | "an", word, kind] => if named(word, kind).is_some() { "yes" } else { "no" }.into(),
            _ => unreachable!("{question}"),
        }
    }

    #[test]
    fn answers_are_true_and_the_box_is_of_the_shape_that_has_them() {
        let known = answers();
        for (scene, one) in some(500) {
            assert_eq!(read(&scene, &one.question), one.answer, "{}: {}", scene.caption, one.question);
            assert!(known.contains(&one.answer));
            let shape = |bounds| scene.shapes.iter().find(|shape| shape.bounds == bounds).unwrap();
            match (one.kind, one.asked.map(shape)) {
                (QuestionKind::Colour, Some(shape)) => assert_eq!(COLOURS[shape.colour], one.answer),
                (QuestionKind::Shape | QuestionKind::Relation, Some(shape)) => {
                    assert_eq!(shape.kind.word(), one.answer);
                }
                (QuestionKind::Existence, shape) => assert_eq!(shape.is_some(), one.answer == "yes"),
                (kind, shape) => assert!(kind == QuestionKind::Number && shape.is_none(), "{one:?}"),
            }
        }
    }

    #[test]
    fn the_question_alone_hardly_tells_the_answer() {
        let mut by_question: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
        for (_, one) in some(8000) {
            *by_question.entry(one.question).or_default().entry(one.answer).or_default() += 1;
        }
        let (mut right, mut all) = (BTreeMap::<_, usize>::new(), BTreeMap::<_, usize>::new());
        for one in (8000..16_000).flat_map(|index| SceneQuestion::generate(4, index, Split::Train, 4).1) {
            let said =
                by_question.get(&one.question).and_then(|answers| answers.iter().max_by_key(|(_, count)| **count));
            *right.entry(one.kind).or_default() += usize::from(said.is_some_and(|(answer, _)| *answer == one.answer));
            *all.entry(one.kind).or_default() += 1;
        }
        for (kind, chance) in QuestionKind::ALL.into_iter().zip([1.0 / 7.0, 0.25, 0.25, 1.0 / 3.0, 0.5]) {
            let share = right[&kind] as f64 / all[&kind] as f64;
            assert!((share - chance).abs() < 0.05 && all[&kind] > 2500, "{kind:?}: {share} of {}", all[&kind]);
        }
    }
}
