//! Attention weights laid over a picture.

/// Attention weights over the positions of a picture, row after row; they sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMap {
    /// Rows of positions.
    pub height: usize,
    /// Columns of positions.
    pub width: usize,
    /// The weights, `height` × `width`.
    pub weights: Vec<f32>,
}

impl AttentionMap {
    /// The centre of the position that got the most weight, as shares (x, y) of the picture's width and height.
    pub fn peak(&self) -> (f32, f32) {
        let largest = self.weights.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        let at = largest.map_or(0, |(at, _)| at);
        let share = |index: usize, count: usize| (index as f32 + 0.5) / count.max(1) as f32;
        (share(at % self.width.max(1), self.width), share(at / self.width.max(1), self.height))
    }
}

/// Rows and columns of a map that regions are laid on.
const GRID: usize = 28;

impl AttentionMap {
    /// The map over a photo of weights of regions, whose boxes are given by their left, top, right and bottom as shares of width
    /// and height: each weight is spread evenly over the positions whose centres its box covers.
    pub fn over(boxes: &[[f32; 4]], weights: &[f32]) -> Self {
        let mut map = Self { height: GRID, width: GRID, weights: vec![0.0; GRID * GRID] };
        let covered = |from: f32, to: f32| {
            let (first, end) = ((from * GRID as f32 - 0.5).ceil(), (to * GRID as f32 - 0.5).floor() + 1.0);
            let first = (first.max(0.0) as usize).min(GRID - 1);
            // A box between two centres has the nearest.
            first..(end.max(0.0) as usize).clamp(first + 1, GRID)
        };
        for (&[left, top, right, bottom], &weight) in boxes.iter().zip(weights) {
            let (columns, rows) = (covered(left, right), covered(top, bottom));
            let share = weight / (columns.len() * rows.len()) as f32;
            for row in rows {
                map.weights[row * GRID..][columns.clone()].iter_mut().for_each(|sum| *sum += share);
            }
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_regions_are_spread_over_their_boxes() {
        let map = AttentionMap::over(
            &[[0.0, 0.0, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0], [0.01, 0.01, 0.011, 0.011]],
            &[0.5, 0.3, 0.2],
        );
        let at = |x: usize, y: usize| map.weights[y * GRID + x];
        assert!((map.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((at(3, 20) - 0.5 / 392.0).abs() < 1e-7 && (at(20, 20) - 0.3 / 196.0).abs() < 1e-7);
        assert_eq!(at(20, 3), 0.0);
        assert!((at(0, 0) - 0.5 / 392.0 - 0.2).abs() < 1e-6);
        assert_eq!(map.peak(), (0.5 / 28.0, 0.5 / 28.0));
        // Boxes beyond the photo's borders count as far as they lie in it.
        let beyond = AttentionMap::over(&[[-0.5, 0.9, 1.5, 1.2]], &[1.0]);
        assert!((beyond.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
