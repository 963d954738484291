//! The generated scenes: captions are true of the pictures, splits share nothing, everything is repeatable.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candlewick_data::captions::Split;
use candlewick_data::scenes::{COLOURS, Extent, Kind, SIZE, Scene, vocabulary};
use std::collections::{BTreeMap, HashSet};

const SPLITS: [Split; 3] = [Split::Train, Split::Dev, Split::Test];

fn scenes(split: Split, count: u64) -> impl Iterator<Item = Scene> {
    (0..count).map(move |index| Scene::generate(1, index, split))
}

/// Where each shape lies as found in the drawn pixels: the box of those that are nearest to its colour.
fn found(scene: &Scene, colour: usize) -> (u32, u32, u32, u32) {
    let near = |pixel: [u8; 3]| {
        let [r, g, b] = pixel.map(i32::from);
        let paints = [
            (220, 50, 47),
            (245, 140, 30),
            (250, 220, 60),
            (60, 180, 75),
            (50, 110, 230),
            (165, 75, 205),
            (242, 242, 242),
            (50, 50, 50),
        ];
        let far = |&(pr, pg, pb): &(i32, i32, i32)| (r - pr).pow(2) + (g - pg).pow(2) + (b - pb).pow(2);
        (0..paints.len()).min_by_key(|&index| far(&paints[index])).filter(|&index| far(&paints[index]) < 1200)
    };
    let picture = scene.draw();
    let of_colour = picture.enumerate_pixels().filter(|(_, _, pixel)| near(pixel.0) == Some(colour));
    of_colour.fold((SIZE, SIZE, 0, 0), |b, (x, y, _)| (b.0.min(x), b.1.min(y), b.2.max(x + 1), b.3.max(y + 1)))
}

#[test]
fn captions_are_true_of_the_pixels() {
    for scene in SPLITS.into_iter().flat_map(|split| scenes(split, 150)) {
        let words: Vec<&str> = scene.caption.split(' ').collect();
        let pointers = scene.pointers();
        assert_eq!(pointers.len(), scene.shapes.len());
        let mut centres = Vec::new();
        for (&(place, bounds), shape) in pointers.iter().zip(&scene.shapes) {
            let colour = COLOURS.iter().position(|colour| *colour == words[place - 1]).unwrap();
            assert_eq!((words[place], words[place - 2], words[place - 3]), (shape.kind.word(), shape.size.word(), "a"));
            let (x0, y0, x1, y1) = found(&scene, colour);
            let slack =
                [(x0, bounds.x0), (y0, bounds.y0), (x1, bounds.x1), (y1, bounds.y1)].map(|(a, b)| a.abs_diff(b));
            assert!(
                slack.iter().all(|&slack| slack <= 4),
                "{}: {bounds:?} found {:?}",
                scene.caption,
                (x0, y0, x1, y1)
            );
            let side = bounds.x1 - bounds.x0;
            assert_eq!(shape.size == Extent::Large, side > 18);
            assert!(bounds.contains((x0 + x1) as f32 / 2.0, (y0 + y1) as f32 / 2.0));
            assert!(bounds.x1 <= SIZE && bounds.y1 <= SIZE && !bounds.contains(bounds.x1 as f32, bounds.y0 as f32));
            centres.push(((bounds.x0 + bounds.x1) as f32 / 2.0, (bounds.y0 + bounds.y1) as f32 / 2.0));
        }
        for (&(place, _), &(x, y)) in pointers.iter().zip(&centres).skip(1) {
            let (dx, dy) = (x - centres[0].0, y - centres[0].1);
            let relation = words[place + 1];
            let wanted = match (dx.abs() > dy.abs(), dx > 0.0, dy > 0.0) {
                (true, true, _) => "right",
                (true, false, _) => "left",
                (false, _, true) => "below",
                (false, _, false) => "above",
            };
            assert_eq!(relation, wanted, "{}", scene.caption);
            assert!(dx.abs().max(dy.abs()) >= 1.7 * dx.abs().min(dy.abs()), "{}", scene.caption);
        }
    }
}

#[test]
fn all_words_come_and_none_besides() {
    let vocabulary: HashSet<&str> = vocabulary().into_iter().collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut shapes = [0usize; 4];
    for scene in scenes(Split::Train, 2000) {
        scene.caption.split(' ').for_each(|word| *counts.entry(word.to_string()).or_default() += 1);
        shapes[scene.shapes.len()] += 1;
    }
    let found: HashSet<&str> = counts.keys().map(String::as_str).collect();
    assert_eq!(found, vocabulary);
    assert!(counts.values().all(|&count| count > 200), "{counts:?}");
    // One scene in five has one shape, two in five two, two in five three.
    for (count, wanted) in shapes.into_iter().zip([0.0, 400.0, 800.0, 800.0]) {
        assert!((count as f64 - wanted).abs() < 90.0, "{shapes:?}");
    }
    let rare = ["left", "right", "above", "below"].map(|word| counts[word]);
    assert!(rare.iter().max().unwrap() < &(rare.iter().min().unwrap() * 2), "{rare:?}");
}

#[test]
fn no_scene_is_in_two_splits_whatever_the_seed() {
    let content = |scene: Scene| scene.shapes;
    let of = |split, seed| (0..600).map(move |index| content(Scene::generate(seed, index, split)));
    let train: HashSet<_> = of(Split::Train, 1).chain(of(Split::Train, 2)).collect();
    let dev: HashSet<_> = of(Split::Dev, 1).chain(of(Split::Dev, 3)).collect();
    assert!(train.len() > 1150 && dev.len() > 1150, "scenes differ");
    assert!(train.is_disjoint(&dev));
    assert!(of(Split::Test, 1).all(|scene| !dev.contains(&scene) && !train.contains(&scene)));
}

#[test]
fn the_same_numbers_give_the_same_scene_and_picture() {
    let scene = Scene::generate(7, 3, Split::Dev);
    assert_eq!(scene, Scene::generate(7, 3, Split::Dev));
    assert_eq!(scene.draw(), Scene::generate(7, 3, Split::Dev).draw());
    assert_ne!(scene, Scene::generate(7, 4, Split::Dev));
    assert_ne!(scene, Scene::generate(8, 3, Split::Dev));
    assert_ne!(scene, Scene::generate(7, 3, Split::Test));
    assert_eq!((scene.draw().dimensions(), Kind::ALL.len()), ((SIZE, SIZE), 4));
}
