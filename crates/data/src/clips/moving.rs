//! Clips that are drawn: a shape that moves, bounces, turns, merges with another and stops, one after the other as a grammar has it whose
//! probabilities are known.
//!
//! ```text
//! a_1 = stop;  p(a_{i+1} | a_i) is a row of the grammar;  each action lasts 3, 4 or 5 frames, as likely each
//! ```
//!
//! The action of a frame is seen in what changed since the frame before; the first frame is of a stop. So who has seen the frames so far knows
//! the action a and for how many frames k it lasts, and tells the next frame's at best with max(s_k, (1 − s_k) max_b p(b | a)), where s_k is
//! the probability that it goes on: [`best_of_next`] is the mean of that.

use crate::split::Split;
use candlewick_parameters::Rng;
use image::{Rgb, RgbImage};

/// Width and height of a frame, in pixels.
pub const SIZE: u32 = 32;

/// What a shape does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It goes two pixels a frame in one of eight directions.
    Move,
    /// It jumps and lands, stretched in the air and flattened on the ground.
    Bounce,
    /// It turns by 20° a frame in its place.
    Turn,
    /// A dot comes to it from the side until it is in it.
    Merge,
    /// Nothing changes.
    Stop,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 5] = [Self::Move, Self::Bounce, Self::Turn, Self::Merge, Self::Stop];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Move => "move",
            Self::Bounce => "bounce",
            Self::Turn => "turn",
            Self::Merge => "merge",
            Self::Stop => "stop",
        }
    }

    /// The row of the grammar: how probable each action is after this one.
    pub fn followed_by(self) -> [f64; 5] {
        match self {
            Self::Move => [0.0, 0.6, 0.2, 0.1, 0.1],
            Self::Bounce => [0.7, 0.0, 0.1, 0.0, 0.2],
            Self::Turn => [0.2, 0.0, 0.0, 0.7, 0.1],
            Self::Merge => [0.0, 0.1, 0.1, 0.0, 0.8],
            Self::Stop => [0.5, 0.1, 0.4, 0.0, 0.0],
        }
    }
}

/// How many frames an action lasts at least and at most.
const LASTS: [usize; 2] = [3, 5];

/// The probability that an action that lasted so many frames goes on.
fn goes_on(lasted: usize) -> f64 {
    match LASTS[1].saturating_sub(lasted) {
        0 => 0.0,
        left if lasted < LASTS[0] => f64::from(u8::from(left > 0)),
        left => left as f64 / (left + 1) as f64,
    }
}

/// How often the next frame's action can be told at best from the frames so far, over all frames of clips of `steps` frames that have a next
/// one.
pub fn best_of_next(steps: usize) -> f64 {
    // How probable it is that an action has lasted so many frames.
    let mut now = [[0.0; 6]; 5];
    now[place(Action::Stop)][1] = 1.0;
    let mut sum = 0.0;
    for _ in 1..steps {
        let mut next = [[0.0; 6]; 5];
        for (action, lasted) in
            Action::ALL.iter().flat_map(|&action| (1..=LASTS[1]).map(move |lasted| (action, lasted)))
        {
            let (p, stays) = (now[place(action)][lasted], goes_on(lasted));
            let row = action.followed_by();
            sum += p * row.iter().fold(stays, |most, &follows| f64::max(most, (1.0 - stays) * follows));
            if lasted < LASTS[1] {
                next[place(action)][lasted + 1] += p * stays;
            }
            row.iter().enumerate().for_each(|(other, follows)| next[other][1] += p * (1.0 - stays) * follows);
        }
        now = next;
    }
    sum / steps.saturating_sub(1).max(1) as f64
}

fn place(action: Action) -> usize {
    Action::ALL.iter().position(|&other| other == action).unwrap_or_default()
}

/// What a shape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Square,
    Triangle,
    Bar,
}

/// How it lies in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pose {
    x: f32,
    y: f32,
    angle: f32,
    /// How much wider and higher it is than at rest.
    stretch: [f32; 2],
    /// Where the dot is, from its centre.
    dot: Option<[f32; 2]>,
}

/// A clip, whose frames are drawn when they are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct MovingClip {
    /// The action of each frame.
    pub actions: Vec<Action>,
    shape: Shape,
    colours: [[u8; 3]; 2],
    poses: Vec<Pose>,
}

impl MovingClip {
    /// The clip of this number in a split, of `steps` frames and by the grammar; it depends on these and the seed alone.
    pub fn generate(steps: usize, seed: u64, split: Split, index: usize) -> Self {
        let mut rng = Rng::derive(seed, &format!("moving {split}"), index as u64);
        let mut segments = Vec::new();
        let (mut action, mut count) = (Action::Stop, 0);
        while count < steps {
            let lasts = LASTS[0] + rng.below(LASTS[1] - LASTS[0] + 1);
            segments.push((action, lasts.min(steps - count)));
            count += lasts;
            action = Action::ALL[rng.categorical(&action.followed_by().map(|p| p as f32))];
        }
        Self::of(&segments, &mut rng)
    }

    /// The clip of this number in a split that shows one action all the time but for its first frame.
    pub fn of_one(steps: usize, seed: u64, split: Split, index: usize) -> Self {
        let mut rng = Rng::derive(seed, &format!("moving one {split}"), index as u64);
        let action = Action::ALL[rng.below(Action::ALL.len())];
        let mut segments = vec![(Action::Stop, 1)];
        let mut count = 1;
        while count < steps {
            segments.push((action, LASTS[1].min(steps - count)));
            count += LASTS[1];
        }
        let mut clip = Self::of(&segments, &mut rng);
        clip.actions.fill(action);
        clip
    }

    fn of(segments: &[(Action, usize)], rng: &mut Rng) -> Self {
        const COLOURS: [[u8; 3]; 5] = [[220, 60, 50], [240, 200, 60], [80, 190, 90], [70, 130, 230], [230, 230, 230]];
        let colour = rng.below(COLOURS.len());
        let other = (colour + 1 + rng.below(COLOURS.len() - 1)) % COLOURS.len();
        let shape = [Shape::Square, Shape::Triangle, Shape::Bar][rng.below(3)];
        let mut rest = Pose {
            x: 8.0 + 16.0 * rng.uniform(),
            y: 11.0 + 13.0 * rng.uniform(),
            angle: 6.3 * rng.uniform(),
            stretch: [1.0; 2],
            dot: None,
        };
        let (mut actions, mut poses) = (Vec::new(), Vec::new());
        for &(action, lasts) in segments {
            let way = Way::new(&rest, rng);
            for frame in 1..=lasts {
                let pose = way.pose(action, frame, lasts, &mut rest);
                actions.push(action);
                poses.push(pose);
            }
        }
        Self { actions, shape, colours: [COLOURS[colour], COLOURS[other]], poses }
    }

    /// The frames.
    pub fn frames(&self) -> Vec<RgbImage> {
        self.poses.iter().map(|pose| self.draw(pose)).collect()
    }

    fn draw(&self, pose: &Pose) -> RgbImage {
        const GROUND: [u8; 3] = [24, 24, 28];
        let (sin, cos) = pose.angle.sin_cos();
        // Three by three points a pixel.
        let points = |x: u32, y: u32| {
            let at = |pixel: u32, third: u32| pixel as f32 + (third as f32 + 0.5) / 3.0;
            (0..9u32).map(move |point| [at(x, point % 3), at(y, point / 3)])
        };
        let colour = |[x, y]: [f32; 2]| {
            let [x, y] = [x - pose.x, y - pose.y];
            if pose.dot.is_some_and(|[dx, dy]| (x - dx).powi(2) + (y - dy).powi(2) < 6.0) {
                return self.colours[1];
            }
            let [x, y] = [x / pose.stretch[0], y / pose.stretch[1]];
            if self.shape.contains([cos * x + sin * y, cos * y - sin * x]) { self.colours[0] } else { GROUND }
        };
        RgbImage::from_fn(SIZE, SIZE, |x, y| {
            let mut sums = [0u32; 3];
            for point in points(x, y) {
                sums.iter_mut().zip(colour(point)).for_each(|(sum, channel)| *sum += u32::from(channel));
            }
            Rgb(sums.map(|sum| (sum / 9) as u8))
        })
    }
}

impl Shape {
    fn contains(self, [x, y]: [f32; 2]) -> bool {
        match self {
            Self::Square => x.abs().max(y.abs()) < 4.0,
            Self::Bar => x.abs() < 5.5 && y.abs() < 2.2,
            Self::Triangle => y < 3.0 && x.abs() < (y + 6.0) * 0.6,
        }
    }
}

/// The directions that an action takes.
struct Way {
    by: [f32; 2],
    from: [f32; 2],
    turns: f32,
}

impl Way {
    /// Directions that keep the shape in the frame for as long as an action lasts.
    fn new(rest: &Pose, rng: &mut Rng) -> Self {
        let directions: Vec<[f32; 2]> = (-1..=1)
            .flat_map(|dx| (-1..=1).map(move |dy| [2.0 * dx as f32, 2.0 * dy as f32]))
            .filter(|by| *by != [0.0; 2])
            .filter(|[dx, dy]| {
                let most = LASTS[1] as f32;
                (6.0..=26.0).contains(&(rest.x + most * dx)) && (10.0..=26.0).contains(&(rest.y + most * dy))
            })
            .collect();
        // From the middle a shape can go to every side; there is always one.
        let by = directions.get(rng.below(directions.len().max(1))).copied().unwrap_or([0.0; 2]);
        let angle = 6.3 * rng.uniform();
        let turns = if rng.chance(0.5) { 1.0 } else { -1.0 };
        Self { by, from: [angle.cos(), angle.sin()], turns }
    }

    /// The pose of a frame of an action, from 1, which may change where the shape rests.
    fn pose(&self, action: Action, frame: usize, lasts: usize, rest: &mut Pose) -> Pose {
        match action {
            Action::Stop => *rest,
            Action::Move => {
                (rest.x, rest.y) = (rest.x + self.by[0], rest.y + self.by[1]);
                *rest
            }
            Action::Turn => {
                rest.angle += self.turns * 20f32.to_radians();
                *rest
            }
            Action::Bounce => {
                let (up, stretch) = match frame % 4 {
                    1 | 3 => (3.0, [0.8, 1.3]),
                    2 => (5.0, [0.9, 1.15]),
                    _ => (0.0, [1.35, 0.7]),
                };
                Pose { y: rest.y - up, stretch, ..*rest }
            }
            Action::Merge => {
                let left = 12.0 * (1.0 - frame as f32 / lasts as f32);
                Pose { dot: Some(self.from.map(|from| left * from)), ..*rest }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rows_of_the_grammar_are_probabilities_and_no_action_follows_itself() {
        for (at, action) in Action::ALL.into_iter().enumerate() {
            let row = action.followed_by();
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-9 && row[at] == 0.0 && place(action) == at);
        }
        assert_eq!([1, 2, 5].map(goes_on), [1.0, 1.0, 0.0]);
        assert!((goes_on(3) - 2.0 / 3.0).abs() < 1e-9 && (goes_on(4) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn who_knows_the_grammar_tells_the_next_action_as_often_as_is_said() {
        let (steps, clips) = (25, 4000);
        let mut right = 0;
        for index in 0..clips {
            let actions = MovingClip::generate(steps, 1, Split::Train, index).actions;
            let mut lasted = 0;
            for at in 0..steps - 1 {
                lasted = if at > 0 && actions[at] == actions[at - 1] { lasted + 1 } else { 1 };
                let (stays, row) = (goes_on(lasted), actions[at].followed_by());
                let likeliest = (0..5).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
                let told = if stays >= (1.0 - stays) * row[likeliest] { actions[at] } else { Action::ALL[likeliest] };
                right += usize::from(told == actions[at + 1]);
            }
        }
        let share = right as f64 / (clips * (steps - 1)) as f64;
        let best = best_of_next(steps);
        assert!((share - best).abs() < 0.005 && (0.7..0.95).contains(&best), "{share} {best}");
    }

    #[test]
    fn every_action_is_seen_in_the_frame_and_the_shape_stays_in_it() {
        let sum = |frame: &RgbImage| frame.as_raw().iter().map(|&value| u64::from(value)).sum::<u64>();
        for index in 0..60 {
            let clip = MovingClip::generate(25, 2, Split::Dev, index);
            let frames = clip.frames();
            assert_eq!((frames.len(), clip.actions[0], frames[0].dimensions()), (25, Action::Stop, (SIZE, SIZE)));
            for at in 1..25 {
                let same = frames[at] == frames[at - 1];
                // What bounces or merges comes back to rest first.
                let rests = ![Action::Bounce, Action::Merge].contains(&clip.actions[at - 1]);
                assert_eq!(
                    same,
                    clip.actions[at] == Action::Stop && rests,
                    "clip {index}, frame {at}: {:?}",
                    clip.actions[at]
                );
                // Above the ground's own sum: the smallest shape in the darkest colour is never cut away.
                assert!((77_824 + 9_000..400_000).contains(&sum(&frames[at])), "{}", sum(&frames[at]));
            }
        }
        let clip = MovingClip::generate(25, 2, Split::Dev, 0);
        assert!(
            clip == MovingClip::generate(25, 2, Split::Dev, 0) && clip != MovingClip::generate(25, 2, Split::Test, 0)
        );
    }

    #[test]
    fn a_clip_of_one_action_shows_no_other() {
        let mut seen = std::collections::HashSet::new();
        for index in 0..50 {
            let clip = MovingClip::of_one(16, 3, Split::Train, index);
            let first = clip.actions[0];
            assert!(clip.actions.len() == 16 && clip.actions.iter().all(|&action| action == first));
            assert_eq!(clip.frames()[3] == clip.frames()[2], first == Action::Stop);
            seen.insert(first);
        }
        assert_eq!(seen.len(), 5);
    }
}
