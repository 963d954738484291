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
    ///
    /// Of several, such as those of a region's box, it is the one in the middle of all of them, the first of two.
    pub fn peak(&self) -> (f32, f32) {
        let largest = self.weights.iter().copied().fold(f32::MIN, f32::max);
        // Sums of boxes are rounded in different ways.
        let all = |at: &usize| self.weights[*at] >= largest - 1e-5 * largest.abs();
        let peaks: Vec<(f32, f32)> = (0..self.weights.len()).filter(all).map(|at| self.centre(at)).collect();
        let mean = |of: fn(&(f32, f32)) -> f32| peaks.iter().map(of).sum::<f32>() / peaks.len() as f32;
        let middle = (mean(|peak| peak.0), mean(|peak| peak.1));
        let away = |peak: &(f32, f32)| (peak.0 - middle.0).hypot(peak.1 - middle.1);
        peaks
            .iter()
            .copied()
            .reduce(|first, next| if away(&next) < away(&first) - 1e-5 { next } else { first })
            .unwrap_or((0.5, 0.5))
    }

    fn centre(&self, at: usize) -> (f32, f32) {
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
        // Of a box the middle is the peak, and of two places one of them.
        let boxed = AttentionMap::over(&[[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 1.0, 1.0]], &[0.9, 0.1]);
        assert!((boxed.peak().0 - 0.5).abs() < 0.02 && (boxed.peak().1 - 0.75).abs() < 0.02, "{:?}", boxed.peak());
        let two = AttentionMap { height: 1, width: 4, weights: vec![0.4, 0.1, 0.1, 0.4] };
        assert_eq!(two.peak(), (0.125, 0.5));
        // Boxes beyond the photo's borders count as far as they lie in it.
        let beyond = AttentionMap::over(&[[-0.5, 0.9, 1.5, 1.2]], &[1.0]);
        assert!((beyond.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
