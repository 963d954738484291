//! Convolution, f32, NCHW and NHWC, CUDA: the inputs of all outputs are gathered, and products are cuBLAS's; the ways back likewise.
//!
//! As many pictures are taken together as fit into a bounded memory of gathered inputs. A convolution whose inputs are rows already, of one
//! position each in NHWC, is the product alone.

mod depthwise;

use super::{Geometry, Layout};
use crate::cuda::{Argument, Gpu, Matrix, Memory, Module, Rows, Side, column_sums, in_half, module};
use crate::node::{Call, Operation, Value, apply_one};
use candle_core::{Result, Tensor};
use depthwise::Depthwise;
use std::ops::Range;

static MODULE: Module = module!("conv" of half precision);

/// Gathered inputs that are held at a time: 256 MB.
const GATHERED: usize = 1 << 26;

/// The convolution of xs, weight and perhaps bias, and perhaps ReLU.
pub fn conv2d(
    gpu: &'static dyn Gpu,
    inputs: &[&Tensor],
    geometry: Geometry,
    layout: Layout,
    relu: bool,
) -> Result<Tensor> {
    if geometry.channels == 1 && geometry.groups > 1 {
        return apply_one(Depthwise { gpu, geometry, layout, relu }, inputs);
    }
    apply_one(Convolution { gpu, geometry, layout, relu }, inputs)
}

/// What the kernels call `Sizes`.
fn sizes_argument(geometry: &Geometry, layout: Layout) -> Argument {
    let &Geometry { groups, channels, outputs, input, kernel, output, stride, padding, dilation, .. } = geometry;
    let pairs = [input, kernel, output, stride, padding, dilation].into_iter().flat_map(|(y, x)| [y, x]);
    let nhwc = usize::from(layout == Layout::Nhwc);
    let mut sizes = [0; 16];
    let all = [channels, outputs, groups].into_iter().chain(pairs).chain([nhwc]);
    sizes.iter_mut().zip(all).for_each(|(size, value)| *size = i32::try_from(value).unwrap_or(i32::MAX));
    Argument::Ints(sizes)
}

struct Convolution {
    gpu: &'static dyn Gpu,
    geometry: Geometry,
    layout: Layout,
    relu: bool,
}

impl Operation for Convolution {
    const NAME: &'static str = "conv2d";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (gpu, g) = (self.gpu, &self.geometry);
        let (xs, weight) = (gpu.of(&inputs[0])?, gpu.of(&inputs[1])?);
        let bias = inputs.get(2).map(|bias| gpu.of(bias)).transpose()?;
        let halves = self.halves(&xs, &weight)?;
        let ys = gpu.alloc(g.batch * g.area_out() * self.width())?;
        for pictures in self.parts() {
            let rows = Matrix::new(gpu, pictures.len() * g.area_out(), self.width())?;
            for group in 0..g.groups {
                let columns = self.gathered(&xs, &halves, &pictures, group)?;
                let side = self.weight(&weight, halves.weight.as_ref(), group);
                let onto = rows.part(0, group * g.outputs);
                self.gpu.multiply(
                    (pictures.len() * g.area_out(), g.outputs, g.depth()),
                    columns.side(),
                    Side::Transposed(side),
                    onto,
                    false,
                )?;
            }
            let bias = bias.as_ref().map_or(Argument::Address(0), |bias| bias.at(0));
            let values = pictures.len() * g.area_out() * self.width();
            self.launch("conv_output", values, &[rows.row(0), bias, ys.at(0)], &pictures, Some(self.relu.into()))?;
        }
        Ok((vec![gpu.value(ys, g.output_shape(self.layout).into())?], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (gpu, g) = (self.gpu, &self.geometry);
        let (xs, weight, d_ys) = (gpu.of(&call.inputs[0])?, gpu.of(&call.inputs[1])?, gpu.of(&gradients[0])?);
        let ys = if self.relu { Some(gpu.of(&call.outputs[0])?) } else { None };
        let d_xs = call.wants(0).then(|| gpu.alloc(call.inputs[0].elem_count())).transpose()?;
        let d_weight = call.wants(1).then(|| gpu.zeros(call.inputs[1].elem_count())).transpose()?;
        let mut d_bias: Option<Tensor> = None;
        let halves = self.halves(&xs, &weight)?;
        for pictures in self.parts() {
            let count = pictures.len() * g.area_out();
            let rows = Matrix::factor(gpu, count, self.width())?;
            let passed = ys.as_ref().map_or(Argument::Address(0), |ys| ys.at(0));
            let from_to = [d_ys.at(0), passed, rows.row(0), rows.half(0, 0)];
            self.launch("conv_rows", count * self.width(), &from_to, &pictures, None)?;
            for group in 0..g.groups {
                let of_rows = || rows.part(0, group * g.outputs);
                if let Some(d_weight) = &d_weight {
                    let columns = self.gathered(&xs, &halves, &pictures, group)?;
                    let onto = self.weight(d_weight, None, group);
                    self.gpu.multiply(
                        (g.outputs, g.depth(), count),
                        Side::Transposed(of_rows()),
                        columns.side(),
                        onto,
                        pictures.start > 0,
                    )?;
                }
                if let Some(d_xs) = &d_xs {
                    let columns = Matrix::new(gpu, count, g.depth())?;
                    let side = Side::Plain(self.weight(&weight, halves.weight.as_ref(), group));
                    self.gpu.multiply(
                        (count, g.depth(), g.outputs),
                        Side::Plain(of_rows()),
                        side,
                        columns.rows(0),
                        false,
                    )?;
                    let values = pictures.len() * g.channels * g.area_in();
                    self.launch("conv_scatter", values, &[columns.row(0), d_xs.at(0)], &pictures, Some(group.into()))?;
                }
            }
            if call.wants(2) {
                let sums = column_sums(gpu, &rows, count)?;
                let sums = gpu.value(sums, self.width().into())?.tensor();
                d_bias = Some(d_bias.map_or(Ok(sums.clone()), |before| before + &sums)?);
            }
        }
        let tensor = |memory: Option<Memory>, input: usize| {
            memory.map(|memory| gpu.value(memory, call.inputs[input].shape().clone()).map(Value::tensor)).transpose()
        };
        Ok(vec![tensor(d_xs, 0)?, tensor(d_weight, 1)?, d_bias])
    }
}

/// What products take in half precision, where they take that.
struct Halves {
    weight: Option<Memory>,
    /// The maps, where products take them as they lie.
    xs: Option<Memory>,
}

/// The inputs of all outputs of some pictures: gathered, or as they lie in the maps.
enum Columns<'a> {
    Gathered(Matrix),
    Maps(Rows<'a>),
}

impl Columns<'_> {
    fn side(&self) -> Side<'_> {
        Side::Plain(match self {
            Self::Gathered(columns) => columns.rows(0),
            Self::Maps(rows) => Rows { memory: rows.memory, half: rows.half, start: rows.start, stride: rows.stride },
        })
    }
}

impl Convolution {
    /// All outputs of a position.
    fn width(&self) -> usize {
        self.geometry.groups * self.geometry.outputs
    }

    /// The pictures that are taken together.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let g = &self.geometry;
        let (count, batch) = ((GATHERED / (g.area_out() * g.depth())).max(1), g.batch);
        (0..batch).step_by(count).map(move |first| first..batch.min(first + count))
    }

    /// Whether the maps are the gathered inputs already.
    fn own_place(&self) -> bool {
        let g = &self.geometry;
        (g.kernel, g.stride, g.padding) == ((1, 1), (1, 1), (0, 0)) && self.layout == Layout::Nhwc
    }

    fn halves(&self, xs: &Memory, weight: &Memory) -> Result<Halves> {
        let [weight, xs] = in_half(self.gpu, weight, self.own_place().then_some(xs))?;
        Ok(Halves { weight, xs })
    }

    fn gathered<'a>(
        &self,
        xs: &'a Memory,
        halves: &'a Halves,
        pictures: &Range<usize>,
        group: usize,
    ) -> Result<Columns<'a>> {
        let g = &self.geometry;
        if self.own_place() {
            let all = g.groups * g.channels;
            let start = pictures.start * g.area_in() * all + group * g.channels;
            return Ok(Columns::Maps(Rows { memory: xs, half: halves.xs.as_ref(), start, stride: all }));
        }
        let columns = self.columns(halves.weight.is_some(), pictures.len() * g.area_out())?;
        let values = pictures.len() * g.area_out() * g.depth();
        let from_to = [xs.at(0), columns.row(0), columns.half(0, 0)];
        self.launch("conv_gather", values, &from_to, pictures, Some(group.into()))?;
        Ok(Columns::Gathered(columns))
    }

    /// Room for gathered inputs, in half precision alone where products are of that.
    fn columns(&self, halves: bool, rows: usize) -> Result<Matrix> {
        if halves {
            Matrix::halves(self.gpu, rows, self.geometry.depth())
        } else {
            Matrix::new(self.gpu, rows, self.geometry.depth())
        }
    }

    /// The weights of a group, (O/groups, C/groups · kh · kw).
    fn weight<'a>(&self, memory: &'a Memory, half: Option<&'a Memory>, group: usize) -> Rows<'a> {
        let (outputs, depth) = (self.geometry.outputs, self.geometry.depth());
        Rows { memory, half, start: group * outputs * depth, stride: depth }
    }

    /// A kernel over values of some pictures, and perhaps of a group or with a ReLU.
    fn launch(
        &self,
        kernel: &'static str,
        values: usize,
        from_to: &[Argument],
        pictures: &Range<usize>,
        last: Option<Argument>,
    ) -> Result<()> {
        let of_pictures = [pictures.start.into(), pictures.len().into()];
        let sizes = [sizes_argument(&self.geometry, self.layout)];
        let arguments = [from_to, &sizes, &of_pictures, last.as_slice()].concat();
        self.gpu.launch_each(&MODULE, kernel, values, &arguments)
    }
}
