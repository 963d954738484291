//! FractalNet: Larsson et al. 2017, "FractalNet: ultra-deep neural networks without residuals".
//!
//! A block expands by the rule f_1(z) = conv(z), f_{C+1}(z) = (f_C ∘ f_C)(z) ⊕ conv(z), where ⊕ is the mean of all columns
//! that meet there. Unrolled it has C columns; column c, counted from 1, has 2^(c−1) convolutions, each with batch norm and
//! ReLU. A 2×2 max-pool closes each block. Names are `block1.column2.0.conv.weight`, `block1.column2.0.bn.weight` … and
//! `fc`; layers are `block1`, `pool1`, `block2` …
//!
//! In training, drop-path chooses anew for each batch: half of the time one column alone, the same through the whole network
//! (global), else each join leaves out each of its inputs with some probability, but never all (local). What no path needs
//! is not computed. Dropout, growing from block to block, is between convolution and batch norm.

use crate::architecture::Architecture;
use crate::blocks::{
    BatchNorm2d, BatchNormConfig, Body, Conv2d, Conv2dConfig, ConvInitial, ConvNorm, FeatureMap, Head, MlpConfig,
    Network,
};
use crate::config::{FractalConfig, NetworkConfig};
use crate::encoder::LayerInfo;
use candle_core::Result;
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::{Mode, VarBuilder};

/// Names, and the number of columns C: with five blocks the deepest paths have 5 · 2^(C−1) convolutions.
const TABLE: [(&str, usize); 2] = [("fractalnet20", 3), ("fractalnet40", 4)];

/// The channels of each block.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

pub(crate) fn architectures() -> Vec<Architecture> {
    let row = |(name, columns)| {
        let stages = (1..=CHANNELS.len()).map(|number| format!("block{number}")).collect();
        Architecture::new(name, stages, &["fc"], move |config, vb| build(name, columns, config, vb))
    };
    TABLE.map(row).into()
}

fn build(name: &'static str, columns: usize, config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    let paths = config.fractal.clone();
    let outside = |share: f64| !(0.0..=1.0).contains(&share);
    if paths.column.is_some_and(|column| !(1..=columns).contains(&column)) {
        candle_core::bail!("{name}: has columns 1 to {columns}, fractal.column is {:?}", paths.column)
    }
    if outside(paths.drop_path) || outside(paths.global_drop_path) {
        candle_core::bail!("{name}: wants shares from 0 to 1 for drop-path, got {paths:?}")
    }
    let (most, last) = (config.dropout.unwrap_or(0.4), CHANNELS.len() - 1);
    let (mut infos, mut blocks, mut inputs) = (Vec::new(), Vec::new(), 3);
    for (index, channels) in CHANNELS.into_iter().enumerate() {
        let (block, dropout) = (format!("block{}", index + 1), most * index as f64 / last as f64);
        blocks.push(FractalBlock::new(inputs, channels, columns, dropout, vb.pp(&block))?);
        infos.push(LayerInfo::new(block, channels, 1 << index));
        infos.push(LayerInfo::new(format!("pool{}", index + 1), channels, 2 << index));
        inputs = channels;
    }
    let head = Head::mlp(inputs, &MlpConfig::linear("fc"), config, vb)?;
    Ok(Network::with_body(name, infos, Box::new(FractalBody { blocks, columns, paths }), head))
}

/// Which inputs the joins of one pass take.
#[derive(Clone, Copy, Debug)]
enum Route {
    All,
    /// One column, counted from 0, alone.
    Column(usize),
    /// All but those left out with this probability.
    Local(f64),
}

impl Route {
    /// Whether a join takes each of the columns from `first` on, at least one of them.
    fn taken(self, first: usize, columns: usize, mode: &mut Mode) -> Vec<bool> {
        let mut taken = vec![true; columns - first];
        match (self, mode) {
            (Route::Column(column), _) => {
                taken.iter_mut().enumerate().for_each(|(index, taken)| *taken = first + index == column);
            }
            (Route::Local(probability), Mode::Train(rng)) => {
                taken.iter_mut().for_each(|taken| *taken = !rng.chance(probability));
                if !taken.contains(&true) {
                    taken[rng.below(columns - first)] = true;
                }
            }
            _ => {}
        }
        taken
    }
}

#[derive(Debug)]
struct FractalBody {
    blocks: Vec<FractalBlock>,
    columns: usize,
    paths: FractalConfig,
}

impl FractalBody {
    fn route(&self, mode: &mut Mode) -> Route {
        match (self.paths.column, mode) {
            (Some(column), _) => Route::Column(column - 1),
            (None, Mode::Eval) => Route::All,
            (None, Mode::Train(rng)) => match rng.chance(self.paths.global_drop_path) {
                true => Route::Column(rng.below(self.columns)),
                false => Route::Local(self.paths.drop_path),
            },
        }
    }
}

impl Body for FractalBody {
    fn forward(
        &self,
        mut xs: FeatureMap,
        last: usize,
        visit: &mut dyn FnMut(usize, &FeatureMap),
        mode: &mut Mode,
    ) -> Result<FeatureMap> {
        let route = self.route(mode);
        for number in 0..=last {
            xs = match self.blocks.get(number / 2) {
                Some(block) if number % 2 == 0 => block.join(Place::default(), &xs, route, mode)?,
                _ => xs.max_pool(&Pool2d::new((2, 2), (2, 2)))?,
            };
            visit(number, &xs);
        }
        Ok(xs)
    }

    fn folded(&self) -> Result<Box<dyn Body>> {
        let blocks = self.blocks.iter().map(|block| block.folded(self.paths.column)).collect::<Result<_>>()?;
        // What is left of a pass in training is what a pass in evaluation is: all columns, or the chosen one.
        let paths = FractalConfig { drop_path: 0.0, global_drop_path: 0.0, ..self.paths };
        Ok(Box::new(Self { blocks, columns: self.columns, paths }))
    }
}

/// A convolution of a block.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Counted from 0, the shallowest.
    column: usize,
    /// Within the column.
    number: usize,
}

impl Place {
    /// The two convolutions of the next column over the same stretch.
    fn halves(self) -> [Self; 2] {
        [0, 1].map(|half| Self { column: self.column + 1, number: 2 * self.number + half })
    }
}

/// The columns of a block, the shallowest first.
#[derive(Debug)]
struct FractalBlock(Vec<Vec<ConvNorm>>);

impl FractalBlock {
    fn new(inputs: usize, outputs: usize, columns: usize, dropout: f64, vb: VarBuilder) -> Result<Self> {
        let conv_norm = |column: usize, number: usize| {
            let vb = vb.pp(format!("column{}", column + 1)).pp(number);
            let conv = Conv2dConfig::same(if number == 0 { inputs } else { outputs }, outputs, 3);
            let conv = Conv2d::new(&conv.with_initial(ConvInitial::Xavier), vb.pp("conv"))?;
            let norm = BatchNorm2d::new(outputs, &BatchNormConfig::default(), vb.pp("bn"))?;
            Ok(ConvNorm::new(conv, Some(norm)).with_relu().with_dropout(dropout))
        };
        let column = |column: usize| (0..1 << column).map(|number| conv_norm(column, number)).collect();
        Ok(Self((0..columns).map(column).collect::<Result<_>>()?))
    }

    /// The join of a convolution's column and all deeper ones, over the stretch that the convolution spans.
    fn join(&self, at: Place, xs: &FeatureMap, route: Route, mode: &mut Mode) -> Result<FeatureMap> {
        let taken = route.taken(at.column, self.0.len(), mode);
        FeatureMap::mean_of(&self.branches(at, xs, &taken, route, mode)?)
    }

    /// What the join takes: the convolution itself, and the deeper columns, which join once half-way.
    fn branches(
        &self,
        at: Place,
        xs: &FeatureMap,
        taken: &[bool],
        route: Route,
        mode: &mut Mode,
    ) -> Result<Vec<FeatureMap>> {
        let (mut maps, Some((own, deeper))) = (Vec::new(), taken.split_first()) else { return Ok(Vec::new()) };
        if *own {
            maps.push(self.0[at.column][at.number].forward(xs, mode)?);
        }
        if deeper.contains(&true) {
            let [first, second] = at.halves();
            let half_way = self.join(first, xs, route, mode)?;
            maps.extend(self.branches(second, &half_way, deeper, route, mode)?);
        }
        Ok(maps)
    }

    /// Only the chosen column, if one is.
    fn folded(&self, chosen: Option<usize>) -> Result<Self> {
        let needed = |index: usize| chosen.is_none_or(|column| column == index + 1);
        let column = |(index, column): (usize, &Vec<ConvNorm>)| {
            let convolutions = column.iter().filter(|_| needed(index));
            convolutions.map(ConvNorm::folded).collect::<Result<_>>()
        };
        Ok(Self(self.0.iter().enumerate().map(column).collect::<Result<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candlewick_parameters::Rng;

    #[test]
    fn joins_leave_out_as_many_inputs_as_wanted_and_never_all() {
        let mut rng = Rng::derive(1, "joins", 0);
        let mut counts = [0usize; 4];
        for _ in 0..20_000 {
            let taken = Route::Local(0.5).taken(1, 4, &mut Mode::Train(&mut rng));
            assert_eq!(taken.len(), 3);
            counts[taken.iter().filter(|taken| **taken).count()] += 1;
        }
        // One of eight draws leaves out all three; then one comes back.
        for (count, wanted) in counts.into_iter().zip([0.0, 0.5, 0.375, 0.125]) {
            assert!((count as f64 / 20_000.0 - wanted).abs() < 0.015, "{counts:?}");
        }
        assert_eq!(Route::Column(2).taken(1, 4, &mut Mode::Eval), [false, true, false]);
        assert_eq!(Route::Local(1.0).taken(0, 3, &mut Mode::Eval), [true; 3]);
        assert_eq!(Route::Local(1.0).taken(3, 4, &mut Mode::Train(&mut rng)), [true]);
    }
}
