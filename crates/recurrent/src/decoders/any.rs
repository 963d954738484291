//! Decoders of any kind as one type.

use super::source::Source;
use super::source_decoder::{SourceDecoder, TeacherForcedRead};
use candle_core::{Device, Result, Tensor};
use candlewick_generation::{Decoder, SelectRows, Step, TeacherForced};
use candlewick_parameters::Mode;
use std::any::Any;
use std::sync::Arc;

/// A decoder of any kind, so that a model, a list or an ensemble can hold different ones; a clone shares the parameters.
#[derive(Clone)]
pub struct AnyDecoder(Arc<dyn Erased>);

/// The memory of an [`AnyDecoder`].
#[derive(Clone)]
pub struct AnyMemory(Arc<dyn Any + Send + Sync>);

/// The state of an [`AnyDecoder`].
#[derive(Clone)]
pub struct AnyState(Arc<dyn ErasedRows>);

impl AnyDecoder {
    /// Forgets which decoder it is.
    pub fn new<D>(decoder: D) -> Self
    where
        D: SourceDecoder + Send + Sync + 'static,
        D::Memory: Send + Sync + 'static,
        D::State: Send + Sync + 'static,
    {
        Self(Arc::new(decoder))
    }
}

/// A decoder without its types of memory and state.
trait Erased: Send + Sync {
    fn vocab_size(&self) -> usize;
    fn device(&self) -> &Device;
    fn memory(&self, source: &Source) -> Result<AnyMemory>;
    fn start(&self, memory: &AnyMemory, mode: &mut Mode) -> Result<AnyState>;
    fn step(&self, words: &Tensor, state: &AnyState, memory: &AnyMemory, mode: &mut Mode) -> Result<Step<AnyState>>;
    fn select_memory(&self, memory: &AnyMemory, rows: &Tensor) -> Result<AnyMemory>;
    fn teacher_forced(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &AnyMemory,
        mode: &mut Mode,
    ) -> Result<TeacherForced>;
    fn read(&self, words: &Tensor, lengths: &[usize], memory: &AnyMemory, mode: &mut Mode)
    -> Result<TeacherForcedRead>;
}

/// A state without its type.
trait ErasedRows: Any + Send + Sync {
    fn select(&self, rows: &Tensor) -> Result<AnyState>;
}

impl<S: SelectRows + Send + Sync + 'static> ErasedRows for S {
    fn select(&self, rows: &Tensor) -> Result<AnyState> {
        Ok(AnyState(Arc::new(SelectRows::select(self, rows)?)))
    }
}

/// What lies under an erased memory or state.
fn own<'a, T: 'static>(any: &'a dyn Any, what: &str) -> Result<&'a T> {
    any.downcast_ref()
        .ok_or_else(|| candle_core::Error::Msg(format!("decoder: was given the {what} of another decoder")))
}

impl<D> Erased for D
where
    D: SourceDecoder + Send + Sync + 'static,
    D::Memory: Send + Sync + 'static,
    D::State: Send + Sync + 'static,
{
    fn vocab_size(&self) -> usize {
        Decoder::vocab_size(self)
    }

    fn device(&self) -> &Device {
        Decoder::device(self)
    }

    fn memory(&self, source: &Source) -> Result<AnyMemory> {
        Ok(AnyMemory(Arc::new(SourceDecoder::memory(self, source)?)))
    }

    fn start(&self, memory: &AnyMemory, mode: &mut Mode) -> Result<AnyState> {
        Ok(AnyState(Arc::new(Decoder::start(self, own(&*memory.0, "memory")?, mode)?)))
    }

    fn step(&self, words: &Tensor, state: &AnyState, memory: &AnyMemory, mode: &mut Mode) -> Result<Step<AnyState>> {
        let (state, memory) = (own(&*state.0 as &dyn Any, "state")?, own(&*memory.0, "memory")?);
        let Step { logits, alpha, state } = Decoder::step(self, words, state, memory, mode)?;
        Ok(Step { logits, alpha, state: AnyState(Arc::new(state)) })
    }

    fn select_memory(&self, memory: &AnyMemory, rows: &Tensor) -> Result<AnyMemory> {
        Ok(AnyMemory(Arc::new(Decoder::select_memory(self, own(&*memory.0, "memory")?, rows)?)))
    }

    fn teacher_forced(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &AnyMemory,
        mode: &mut Mode,
    ) -> Result<TeacherForced> {
        Decoder::teacher_forced(self, words, lengths, own(&*memory.0, "memory")?, mode)
    }

    fn read(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &AnyMemory,
        mode: &mut Mode,
    ) -> Result<TeacherForcedRead> {
        SourceDecoder::read(self, words, lengths, own(&*memory.0, "memory")?, mode)
    }
}

impl SelectRows for AnyState {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        self.0.select(rows)
    }
}

impl Decoder for AnyDecoder {
    type Memory = AnyMemory;
    type State = AnyState;

    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    fn device(&self) -> &Device {
        self.0.device()
    }

    fn start(&self, memory: &AnyMemory, mode: &mut Mode) -> Result<AnyState> {
        self.0.start(memory, mode)
    }

    fn step(&self, words: &Tensor, state: &AnyState, memory: &AnyMemory, mode: &mut Mode) -> Result<Step<AnyState>> {
        self.0.step(words, state, memory, mode)
    }

    fn select_memory(&self, memory: &AnyMemory, rows: &Tensor) -> Result<AnyMemory> {
        self.0.select_memory(memory, rows)
    }

    fn teacher_forced(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &AnyMemory,
        mode: &mut Mode,
    ) -> Result<TeacherForced> {
        self.0.teacher_forced(words, lengths, memory, mode)
    }
}

impl SourceDecoder for AnyDecoder {
    fn memory(&self, source: &Source) -> Result<AnyMemory> {
        self.0.memory(source)
    }

    fn read(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &AnyMemory,
        mode: &mut Mode,
    ) -> Result<TeacherForcedRead> {
        self.0.read(words, lengths, memory, mode)
    }
}
