//! Questions about generated scenes, balanced so that the question alone hardly tells the answer.
//!
//! Kind, question and answer are drawn first, each answer that a question may have as likely as the others, and then scenes until one
//! fits. Who never sees the picture is right with the chance below, however much she learns:
//!
//! ```text
//! colour      what colour is the star?            a colour               1/7
//! shape       what shape is the red thing?        circle, square …       1/4
//! relation    what is left of the red star?       circle, square …       1/4
//! number      how many shapes are there?          one, two, three        1/3
//! number      how many circles are there?         zero, one, two         1/3
//! existence   is there a red star?                yes, no                1/2
//! ```

use super::{BoundingBox, COLOURS, Extent, Kind, Scene, Shape, contents, placed, relation, split_of};
use crate::split::Split;
use candlewick_parameters::Rng;

/// The answers that are numbers, from none on.
const NUMBERS: [&str; 4] = ["zero", "one", "two", "three"];

/// How a shape may lie to another.
const SIDES: [&str; 4] = ["left of", "right of", "above", "below"];

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

/// A scene, a question about it and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SceneQuestion {
    /// The scene.
    pub scene: Scene,
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
    /// Question number `index` of a split, in the world of this `seed`.
    ///
    /// The same arguments give the same scene, question and answer on every machine. As with [`Scene::generate`] no scene of one split is
    /// ever in another.
    pub fn generate(seed: u64, index: u64, split: Split) -> Self {
        let mut rng = Rng::derive(seed, &format!("scene question {split}"), index);
        let kind = QuestionKind::ALL[rng.below(QuestionKind::ALL.len())];
        let asked = Asked::draw(kind, &mut rng);
        let question = asked.question(&mut rng);
        loop {
            let shapes = contents(&mut rng);
            // Most shapes are refused before they get places, which takes longer.
            if !asked.may_fit(&shapes) {
                continue;
            }
            let shapes = placed(shapes, &mut rng);
            if asked.fits(&shapes) && split_of(&shapes) == split {
                let of = asked.shape(&shapes).map(|shape| shape.bounds);
                let scene = Scene::on_ground(shapes, &mut rng);
                return Self { scene, question, answer: asked.answer(), kind, asked: of };
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

/// A question with its answer, of a scene that is still to be found.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Colour { kind: Kind, colour: usize },
    Shape { colour: usize, kind: Kind },
    Relation { side: &'static str, colour: usize, kind: Kind, found: Kind },
    Number { of: Counted, count: usize },
    Existence { colour: usize, kind: Kind, there: bool },
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

    fn is(self, shape: &Shape) -> bool {
        match self {
            Self::All => true,
            Self::Size(size) => shape.size == size,
            Self::Kind(kind) => shape.kind == kind,
        }
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

impl Asked {
    fn draw(kind: QuestionKind, rng: &mut Rng) -> Self {
        let (colour, shape) = (rng.below(COLOURS.len()), draw_kind(rng));
        match kind {
            QuestionKind::Colour => Self::Colour { kind: shape, colour },
            QuestionKind::Shape => Self::Shape { colour, kind: shape },
            QuestionKind::Relation => {
                Self::Relation { side: SIDES[rng.below(SIDES.len())], colour, kind: shape, found: draw_kind(rng) }
            }
            QuestionKind::Number => {
                let of = Counted::draw(rng);
                // There is always a shape, and seldom three of a kind.
                let (least, most) = if let Counted::All = of { (1, 3) } else { (0, 2) };
                Self::Number { of, count: least + rng.below(most - least + 1) }
            }
            QuestionKind::Existence => Self::Existence { colour, kind: shape, there: rng.chance(0.5) },
        }
    }

    /// The question in words, of several that mean the same one.
    fn question(self, rng: &mut Rng) -> String {
        let colour_of = |colour: usize| COLOURS.get(colour).copied().unwrap_or_default();
        let other = rng.chance(0.5);
        match self {
            Self::Colour { kind, .. } => {
                format!("what {} is the {}?", if other { "colour" } else { "color" }, kind.word())
            }
            Self::Shape { colour, .. } if other => format!("what shape is the {} thing?", colour_of(colour)),
            Self::Shape { colour, .. } => format!("what is the {} shape?", colour_of(colour)),
            Self::Relation { side, colour, kind, .. } => {
                format!("what is {side} the {} {}?", colour_of(colour), kind.word())
            }
            Self::Number { of, .. } => format!("how many {} are there?", of.words()),
            Self::Existence { colour, kind, .. } => {
                let colour = colour_of(colour);
                let article = if colour.starts_with('o') { "an" } else { "a" };
                format!("is there {article} {colour} {}?", kind.word())
            }
        }
    }

    fn answer(self) -> &'static str {
        match self {
            Self::Colour { colour, .. } => COLOURS.get(colour).copied().unwrap_or_default(),
            Self::Shape { kind, .. } | Self::Relation { found: kind, .. } => kind.word(),
            Self::Number { count, .. } => NUMBERS.get(count).copied().unwrap_or_default(),
            Self::Existence { there, .. } => {
                if there {
                    "yes"
                } else {
                    "no"
                }
            }
        }
    }

    /// Whether shapes fit, wherever they lie.
    fn may_fit(self, shapes: &[Shape]) -> bool {
        let of_kind = |kind: Kind| shapes.iter().filter(move |shape| shape.kind == kind);
        let has = |colour: usize, kind: Kind| of_kind(kind).any(|shape| shape.colour == colour);
        match self {
            Self::Colour { kind, colour } => has(colour, kind) && of_kind(kind).count() == 1,
            Self::Shape { colour, kind } => has(colour, kind),
            Self::Relation { colour, kind, found, .. } => {
                has(colour, kind) && of_kind(found).any(|shape| shape.colour != colour)
            }
            Self::Number { of, count } => shapes.iter().filter(|shape| of.is(shape)).count() == count,
            Self::Existence { colour, kind, there: true } => has(colour, kind),
            // What is not there should be looked for: its colour is there, or its form.
            Self::Existence { colour, kind, there: false } => {
                !has(colour, kind) && shapes.iter().any(|shape| shape.colour == colour || shape.kind == kind)
            }
        }
    }

    /// Whether shapes fit as they lie, which may fit.
    fn fits(self, shapes: &[Shape]) -> bool {
        let Self::Relation { found, .. } = self else { return true };
        self.shape(shapes).is_some_and(|shape| shape.kind == found)
    }

    /// The shape that has the answer.
    fn shape(self, shapes: &[Shape]) -> Option<&Shape> {
        let of_colour = |colour: usize| shapes.iter().find(|shape| shape.colour == colour);
        match self {
            Self::Colour { colour, .. } | Self::Shape { colour, .. } | Self::Existence { colour, there: true, .. } => {
                of_colour(colour)
            }
            Self::Relation { side, colour, .. } => {
                let anchor = of_colour(colour)?;
                let others = shapes.iter().filter(|shape| shape.colour != colour);
                let lies: Vec<_> = others.map(|shape| (shape, relation(&shape.bounds, &anchor.bounds))).collect();
                let mut there = lies.iter().filter(|(_, lies)| *lies == Some(side));
                // Where it is not clear how a third shape lies, nothing is asked.
                match (there.next(), there.next()) {
                    (Some((shape, _)), None) if lies.iter().all(|(_, lies)| lies.is_some()) => Some(shape),
                    _ => None,
                }
            }
            Self::Number { .. } | Self::Existence { there: false, .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeMap;

    fn some(count: u64) -> Vec<SceneQuestion> {
        (0..count).map(|index| SceneQuestion::generate(4, index, Split::Train)).collect()
    }

    #[test]
    fn the_same_arguments_give_the_same_question_and_splits_share_no_scene() {
        assert_eq!(some(20), some(20));
        assert_ne!(some(1)[0], SceneQuestion::generate(5, 0, Split::Train));
        for split in [Split::Train, Split::Dev, Split::Test] {
            let questions = (0..20).map(|index| SceneQuestion::generate(4, index, split));
            assert!(questions.into_iter().all(|one| split_of(&one.scene.shapes) == split));
        }
    }

    /// The answer that the scene's own shapes give, found by reading the question.
    fn read(one: &SceneQuestion) -> String {
        let words: Vec<&str> = one.question.trim_end_matches('?').split(' ').collect();
        let shapes = &one.scene.shapes;
        let colour = |shape: &Shape| COLOURS[shape.colour];
        let named = |colour_word: &str, kind: &str| {
            shapes.iter().find(|shape| colour(shape) == colour_word && shape.kind.word() == kind)
        };
        match words[..] {
            ["what", "colour" | "color", "is", "the", kind] => {
                let of: Vec<_> = shapes.iter().filter(|shape| shape.kind.word() == kind).collect();
                assert_eq!(of.len(), 1, "{one:?}");
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
                assert_eq!(there.len(), 1, "{one:?}");
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
            _ => unreachable!("{}", one.question),
        }
    }

    #[test]
    fn answers_are_true_and_the_box_is_of_the_shape_that_has_them() {
        let known = answers();
        for one in some(1000) {
            assert_eq!(read(&one), one.answer, "{}: {}", one.scene.caption, one.question);
            assert!(known.contains(&one.answer));
            let shape = |bounds| one.scene.shapes.iter().find(|shape| shape.bounds == bounds).unwrap();
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
        let mut by_kind: BTreeMap<QuestionKind, usize> = BTreeMap::new();
        let all = some(20_000);
        for one in &all {
            *by_question.entry(one.question.clone()).or_default().entry(one.answer).or_default() += 1;
            *by_kind.entry(one.kind).or_default() += 1;
        }
        assert!(by_kind.values().all(|count| (3700..4300).contains(count)), "{by_kind:?}");
        // Right is who always says what was said most often, of the very questions that it was counted on.
        let best: usize = by_question.values().map(|answers| answers.values().copied().max().unwrap()).sum();
        let share = best as f64 / all.len() as f64;
        assert!((0.29..0.36).contains(&share), "{share}");
    }
}
