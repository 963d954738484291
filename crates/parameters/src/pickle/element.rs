//! PyTorch's data types, by the names of dtypes and storage classes.

use safetensors::Dtype;

/// A type of values, as PyTorch names it and its storages.
#[derive(Debug, PartialEq)]
pub struct Element {
    /// `torch.float32` without the module.
    pub name: &'static str,
    /// `torch.FloatStorage` without the module and the word; empty for types that only untyped storages hold.
    storage: &'static str,
    /// Bytes of a value.
    pub size: usize,
    /// What safetensors calls it, where it has it.
    pub dtype: Option<Dtype>,
}

const fn element(name: &'static str, storage: &'static str, size: usize, dtype: Option<Dtype>) -> Element {
    Element { name, storage, size, dtype }
}

static ELEMENTS: [Element; 30] = [
    element("uint8", "Byte", 1, Some(Dtype::U8)),
    element("float32", "Float", 4, Some(Dtype::F32)),
    element("float64", "Double", 8, Some(Dtype::F64)),
    element("float16", "Half", 2, Some(Dtype::F16)),
    element("bfloat16", "BFloat16", 2, Some(Dtype::BF16)),
    element("int64", "Long", 8, Some(Dtype::I64)),
    element("int32", "Int", 4, Some(Dtype::I32)),
    element("int16", "Short", 2, Some(Dtype::I16)),
    element("int8", "Char", 1, Some(Dtype::I8)),
    element("bool", "Bool", 1, Some(Dtype::BOOL)),
    element("uint16", "", 2, Some(Dtype::U16)),
    element("uint32", "", 4, Some(Dtype::U32)),
    element("uint64", "", 8, Some(Dtype::U64)),
    element("complex64", "ComplexFloat", 8, Some(Dtype::C64)),
    element("complex128", "ComplexDouble", 16, None),
    element("complex32", "ComplexHalf", 4, None),
    element("float8_e4m3fn", "", 1, Some(Dtype::F8_E4M3)),
    element("float8_e5m2", "", 1, Some(Dtype::F8_E5M2)),
    element("float8_e4m3fnuz", "", 1, Some(Dtype::F8_E4M3FNUZ)),
    element("float8_e5m2fnuz", "", 1, Some(Dtype::F8_E5M2FNUZ)),
    element("float8_e8m0fnu", "", 1, Some(Dtype::F8_E8M0)),
    element("float4_e2m1fn_x2", "", 1, None),
    element("quint8", "QUInt8", 1, None),
    element("qint8", "QInt8", 1, None),
    element("qint32", "QInt32", 4, None),
    element("quint4x2", "QUInt4x2", 1, None),
    element("quint2x4", "QUInt2x4", 1, None),
    element("bits8", "", 1, None),
    element("bits16", "", 2, None),
    element("bits1x8", "", 1, None),
];

impl Element {
    /// Bytes, of which an untyped storage is made.
    pub fn byte() -> &'static Self {
        &ELEMENTS[0]
    }

    /// The type of a storage's class, such as `FloatStorage`.
    pub fn of_storage(class: &str) -> Option<&'static Self> {
        Self::of_kind(class.strip_suffix("Storage")?)
    }

    /// The type that `Float` stands for in `FloatTensor` and `FloatStorage`.
    pub fn of_kind(kind: &str) -> Option<&'static Self> {
        ELEMENTS.iter().find(|element| !element.storage.is_empty() && element.storage == kind)
    }

    pub fn named(name: &str) -> Option<&'static Self> {
        ELEMENTS.iter().find(|element| element.name == name)
    }

    /// Bytes of each number of a value, which a machine of the other endianness has in the other order.
    pub fn width(&self) -> usize {
        if self.name.starts_with("complex") { self.size / 2 } else { self.size }
    }
}
