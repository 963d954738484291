//! Checkpoints of before PyTorch 1.6, made by `scripts/fixtures/legacy_checkpoints.py`, and damaged ones.
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Result, Tensor};
use candlewick_parameters::{Conversion, Initial, ParameterBuilder, Parameters, SafetensorsFile, convert};
use candlewick_testing::{fixture, values};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Notes the largest piece of memory that a thread asks for.
struct Noting;

thread_local!(static LARGEST: Cell<usize> = const { Cell::new(0) });

// SAFETY: all work is the system's allocator's, which is given what this one is given; noting a size allocates nothing.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: the caller promises of the layout what the system's allocator wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller promises that `at` is from `alloc` with this layout, which has it from the system's allocator.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

/// Far more than a file of a few KB needs.
const MUCH: usize = 1 << 20;

/// All tensors of a checkpoint.
fn read(path: impl AsRef<Path>, key: Option<&str>) -> Result<Vec<(String, Tensor)>> {
    let file = key.map_or_else(|| SafetensorsFile::open(&path), |key| SafetensorsFile::open_key(&path, key))?;
    file.names().map(|name| Ok((name.to_owned(), file.tensor(name, &Device::Cpu)?))).collect()
}

fn tensor(tensors: &[(String, Tensor)], name: &str) -> Tensor {
    tensors.iter().find(|(found, _)| found == name).unwrap().1.clone()
}

/// A file in a folder of its own.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, content: &[u8]) -> PathBuf {
        let path = self.0.path().join("file.pth");
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The message about a file that is refused.
    fn fault(&self, content: &[u8]) -> String {
        fault(&self.write(content))
    }
}

/// The message about a file that is refused without much memory.
fn fault(path: &Path) -> String {
    LARGEST.set(0);
    let fault = read(path, None).unwrap_err().to_string();
    assert!(LARGEST.get() < MUCH, "{} bytes in one piece: {fault}", LARGEST.get());
    assert!(fault.starts_with(&path.display().to_string()) && fault.lines().count() == 1, "{fault}");
    fault
}

#[test]
fn every_type_and_layout_is_read() {
    let file = SafetensorsFile::open(fixture("legacy.pth")).unwrap();
    let expected: [(&str, &str, &[usize], &[f64]); 16] = [
        ("bfloat", "BF16", &[2], &[0.5, -2.0]),
        ("double", "F64", &[1], &[0.1]),
        ("empty", "F32", &[0, 3], &[]),
        ("expanded", "F32", &[2, 3], &[7.0, 7.0, 7.0, 8.0, 8.0, 8.0]),
        ("features.denseblock1.denselayer1.norm.1.weight", "F32", &[2], &[1.0, 2.0]),
        ("half", "F16", &[2], &[0.5, 1.5]),
        ("int", "I32", &[1], &[-5.0]),
        ("mask", "BOOL", &[2], &[1.0, 0.0]),
        ("norm.num_batches_tracked", "I64", &[], &[1_099_511_627_776.0]),
        ("parameter", "F32", &[1], &[3.0]),
        (
            "permuted",
            "F32",
            &[3, 4, 2],
            &[
                0.0, 12.0, 1.0, 13.0, 2.0, 14.0, 3.0, 15.0, 4.0, 16.0, 5.0, 17.0, 6.0, 18.0, 7.0, 19.0, 8.0, 20.0, 9.0,
                21.0, 10.0, 22.0, 11.0, 23.0,
            ],
        ),
        ("row", "F32", &[3], &[3.0, 4.0, 5.0]),
        ("short", "I16", &[1], &[-6.0]),
        ("strided", "F32", &[2, 2, 2], &[4.0, 6.0, 8.0, 10.0, 16.0, 18.0, 20.0, 22.0]),
        ("transposed", "F32", &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
        ("weight", "F32", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
    ];
    assert_eq!(file.names().collect::<Vec<_>>(), expected.map(|(name, ..)| name));
    for (name, dtype, shape, wanted) in expected {
        let tensor = file.tensor(name, &Device::Cpu).unwrap();
        assert_eq!((file.dtype(name).unwrap().as_str(), tensor.dims()), (dtype, shape), "{name}");
        assert_eq!(values(&tensor), wanted, "{name}");
    }
}

#[test]
fn what_the_first_pytorchs_wrote_is_read() {
    let tensors = read(fixture("legacy_oldest.pth"), None).unwrap();
    assert_eq!(tensors.len(), 5);
    assert_eq!(values(&tensor(&tensors, "whole")), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    assert_eq!(values(&tensor(&tensors, "front")), [2.0, 3.0, 4.0]);
    assert_eq!(tensor(&tensors, "built").to_vec2::<f32>().unwrap(), [[5.0, 7.0], [6.0, 8.0]]);
    assert_eq!(values(&tensor(&tensors, "parameter")), [0.5, 1.5]);
    assert_eq!(values(&tensor(&tensors, &"n".repeat(120))), [3.0, 4.0]);
}

#[test]
fn a_state_dict_under_a_key_is_found_by_it() {
    let path = fixture("legacy_under_a_key.pth");
    assert_eq!(values(&read(&path, Some("state_dict")).unwrap()[0].1), [1.0]);
    for (key, advice) in [
        (
            None,
            "holds its state dict under a key: state_dict (1 tensors); name it: candlewick convert --key state_dict",
        ),
        (Some("model"), "has no key model; it has epoch, best, args, state_dict"),
        (Some("args"), "holds no tensors under \"args\"; it has lr"),
        (Some("args.rate"), "has no key rate under args; it has lr"),
    ] {
        let fault = read(&path, key).unwrap_err().to_string();
        assert!(fault.contains("legacy_under_a_key.pth: ") && fault.contains(advice), "{fault}");
    }
}

#[test]
fn the_content_counts_and_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["model.safetensors", "pytorch_model.bin"] {
        let path = folder.path().join(name);
        std::fs::copy(fixture("legacy.pth"), &path).unwrap();
        let file = SafetensorsFile::open(&path).unwrap();
        assert_eq!(file.names().count(), 16);
        let half = file.tensor("half", &Device::Cpu).unwrap();
        assert_eq!(half.to_vec1::<f32>().unwrap(), [0.5, 1.5]);
        let strided = file.tensor("strided", &Device::Cpu).unwrap();
        assert_eq!(values(&strided), [4.0, 6.0, 8.0, 10.0, 16.0, 18.0, 20.0, 22.0]);
    }
}

#[test]
fn the_prefix_of_data_parallel_is_named_and_taken_away() {
    let path = fixture("legacy_data_parallel.pth");
    let loaded = Parameters::from_safetensors(&path).unwrap();
    loaded.builder(&Device::Cpu).parameter(2, "fc.weight", Initial::Constant(0.0)).unwrap();
    let fresh = Parameters::new(1);
    fresh.builder(&Device::Cpu).parameter(2, "fc.weight", Initial::Constant(0.0)).unwrap();
    for fault in [loaded.verify(), fresh.load(&path)].map(|result| result.unwrap_err().to_string()) {
        let named = fault.contains("legacy_data_parallel.pth: all names begin with module.");
        assert!(named && fault.contains("candlewick convert"), "{fault}");
    }
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("without.safetensors");
    let converted = convert(&path, &to, &Conversion::default()).unwrap();
    assert_eq!(converted.notes, ["took module., which DataParallel puts there, from all names"]);
    assert_eq!(SafetensorsFile::open(to).unwrap().names().collect::<Vec<_>>(), ["fc.bias", "fc.weight"]);
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let scratch = Scratch::new();
    for name in ["legacy.pth", "legacy_oldest.pth", "legacy_under_a_key.pth"] {
        let path = scratch.write(&std::fs::read(fixture(name)).unwrap());
        // Cut in place: a disk takes its time to write a file anew.
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        for len in (0..file.metadata().unwrap().len()).rev() {
            file.set_len(len).unwrap();
            let fault = fault(&path);
            assert!(
                len < 15 || fault.contains("cut short") && fault.contains("with PyTorch"),
                "{name}, {len} bytes: {fault}"
            );
        }
    }
    let path = scratch.write(&std::fs::read(fixture("legacy.pth")).unwrap()[..900]);
    assert!(SafetensorsFile::open(path).err().unwrap().to_string().contains("take another copy of it"));
}

#[test]
fn no_damaged_byte_does_harm() {
    let scratch = Scratch::new();
    let mut refused = 0;
    for name in ["legacy.pth", "legacy_oldest.pth"] {
        let content = std::fs::read(fixture(name)).unwrap();
        let path = scratch.write(&content);
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let mut put = |place: usize, byte: u8| {
            file.seek(SeekFrom::Start(place as u64)).unwrap();
            file.write_all(&[byte]).unwrap();
        };
        for (place, &byte) in content.iter().enumerate() {
            for damage in [0x01, 0x80, 0xff] {
                put(place, byte ^ damage);
                LARGEST.set(0);
                refused += usize::from(read(&path, None).is_err());
                assert!(LARGEST.get() < MUCH, "{name}, byte {place}: {} bytes in one piece", LARGEST.get());
            }
            put(place, byte);
        }
    }
    assert!(refused > 1000, "{refused}");
}

const HEAD: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02";

/// A file without storages whose object is this pickle.
fn file(object: &[u8]) -> Vec<u8> {
    [HEAD, object, b".\x80\x02]."].concat()
}

/// A file whose object is this pickle, with one storage `k` of two floats.
fn stored(object: &[u8]) -> Vec<u8> {
    [HEAD, object, b".\x80\x02]U\x01ka.\x02\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40"].concat()
}

/// The pickle of a tensor of a part of the storage `k`, with this offset, size and stride.
fn pickled(part: &[u8], offset: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    let storage: &[u8] = b"ctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nFloatStorage\nU\x01kNK\x02";
    [storage, part, b"tQ", offset, size, stride, b"tR"].concat()
}

/// A file that holds this tensor as `a`.
fn view(part: &[u8], offset: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    stored(&[b"}U\x01a", pickled(part, offset, size, stride).as_slice(), b"s"].concat())
}

#[test]
fn what_the_hand_made_files_are_damaged_from_is_whole() {
    let scratch = Scratch::new();
    let path = scratch.write(&view(b"(U\x01vK\x01K\x01t", b"K\0", b"K\x02\x85", b"K\0\x85"));
    assert_eq!(values(&read(path, None).unwrap()[0].1), [2.0, 2.0]);
}

#[test]
fn other_classes_are_never_made_and_wrong_opcodes_are_refused() {
    let scratch = Scratch::new();
    let tensors = read(fixture("legacy_other_class.pth"), None).unwrap();
    assert_eq!((tensors.len(), values(&tensors[0].1)), (1, vec![1.0]));
    let created = scratch.0.path().join("created");
    let command = format!("touch {}", created.display());
    let call = [b"cos\nsystem\nU", [command.len() as u8].as_slice(), command.as_bytes(), b"\x85R"].concat();
    let fault = scratch.fault(&file(&call));
    assert!(fault.contains("holds an object (os.system) and no state dict") && !created.exists(), "{fault}");
    for (object, word) in [
        (b"}U\x01actorch\nQInt8Storage\nR".as_slice(), "damaged"),
        (b"c\x1b[31m\n\x0d\n)R", "\\u{1b}"),
        (b"ios\nsystem\n", "damaged"),
        (b"\xff", "opcode 0xff"),
        (b"(U\x07storagectorch\nOddStorage\nU\x01kNK\x02tQ", "torch.OddStorage"),
    ] {
        let fault = scratch.fault(&file(object));
        assert!(fault.contains(word), "{fault}");
    }
    let mut other_version = file(b"}");
    other_version[18] = 0xea;
    assert!(scratch.fault(&other_version).contains("protocol version"));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let scratch = Scratch::new();
    let (two, one) = (b"K\x02\x85".as_slice(), b"K\x01\x85".as_slice());
    let past = "past the end of its storage";
    for (part, offset, size, stride, word) in [
        (b"N".as_slice(), b"K\x01".as_slice(), two, one, past),
        (b"N", b"K\0", two, b"K\x02\x85", past),
        (b"N", b"K\x02", one, one, past),
        (b"N", b"K\x03", b"K\0\x85", one, past),
        (b"(U\x01vK\x01K\x01t", b"K\0", two, one, past),
        (b"(U\x01vK\x01K\x02t", b"K\0", one, one, "as long as its parts"),
        (
            b"(U\x01v\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ft",
            b"K\0",
            one,
            one,
            "parts",
        ),
        (b"N", b"J\xff\xff\xff\xff", one, one, "damaged"),
        (b"N", b"\x8a\x01\xff", one, one, "damaged"),
        (b"N", b"K\0", b"J\xff\xff\xff\xff\x85", one, "damaged"),
        (b"N", b"K\0", two, b")", past),
        // 2³⁹ times one value, and products that no number holds.
        (b"N", b"K\0", b"\x8a\x06\0\0\0\0\x80\0\x85", b"K\0\x85", "far larger than the file"),
        (b"N", b"K\0", b"\x8a\x08\0\0\0\0\0\0\0\x40\x85", b"K\0\x85", "far larger than the file"),
        (b"N", b"K\0", b"K\0\x8a\x05\0\0\0\0\x01\x8a\x05\0\0\0\0\x01\x87", b"K\0K\0K\0\x87", past),
    ] {
        let fault = scratch.fault(&view(part, offset, size, stride));
        assert!(fault.contains(word), "{word}: {fault}");
    }
    let huge = scratch.fault(&file(b"X\xff\xff\xff\xffa"));
    assert!(huge.contains("cut short"), "{huge}");
    let dimensions = [b"(".as_slice(), &b"K\x01".repeat(65), b"t"].concat();
    assert!(scratch.fault(&view(b"N", b"K\0", &dimensions, &dimensions)).contains("damaged"));
    let short = pickled(b"N", b"K\0", one, one);
    let mut long = short.clone();
    let at = long.windows(3).position(|bytes| bytes == b"kNK").unwrap() + 3;
    long[at] = 3;
    let both = [b"}U\x01a", short.as_slice(), b"sU\x01b", &long, b"s"].concat();
    assert!(scratch.fault(&stored(&both)).contains("as long as its parts"));
    let mut longer = view(b"N", b"K\0", two, one);
    let at = longer.len() - 16;
    longer[at] = 3;
    assert!(scratch.fault(&longer).contains("another length"));
    longer[at + 7] = 0x80;
    assert!(scratch.fault(&longer).contains("another length"));
}

#[test]
fn a_pickle_that_nests_and_doubles_itself_is_read_without_harm() {
    let scratch = Scratch::new();
    let told = |object: &[u8]| read(scratch.write(&file(object)), None).unwrap_err().to_string();
    // A tuple in a tuple in a tuple …, which would overflow the stack of a reader that goes into it.
    let nested = [b")".as_slice(), &[0x85; 300_000]].concat();
    assert!(told(&nested).contains("holds no tensors"));
    // Twice itself, 5,000 times: copied, it would not fit into the universe.
    assert!(told(&[b")".as_slice(), &b"q\0h\0\x86".repeat(5_000)].concat()).contains("holds no tensors"));
    assert!(told(&[b')'; 1 << 22]).contains("more than a checkpoint"));
    // A dict in itself.
    assert!(told(b"}q\0U\x01ah\0s").contains("holds no tensors"));
    // A list of which a dict is made again and again: the second is empty.
    let list = [b"]](U\x01a", pickled(b"N", b"K\0", b"K\x02\x85", b"K\x01\x85").as_slice(), b"eaq\0"].concat();
    let dict = b"ccollections\nOrderedDict\nh\0\x85R";
    let once = scratch.write(&stored(&[list.as_slice(), dict].concat()));
    assert_eq!(values(&read(once, None).unwrap()[0].1), [1.0, 2.0]);
    let twice = scratch.write(&stored(&[list.as_slice(), dict, dict].concat()));
    assert!(read(twice, None).unwrap_err().to_string().contains("holds no tensors"));
    for odd in
        [b"".as_slice(), b"\x87", b"t", b"u", b"NR", b"))R", b")b", b"Q", b"h\0", b"(K\x01s", b"NNa", b"NN(\x86t"]
    {
        scratch.fault(&file(odd));
    }
}

#[test]
fn dicts_nest_as_deep_as_they_like_and_are_looked_into_as_deep_as_is_of_use() {
    let scratch = Scratch::new();
    let tensor = pickled(b"N", b"K\0", b"K\x02\x85", b"K\x01\x85");
    let nested = |depth: usize| stored(&[&b"}U\x01a".repeat(depth), tensor.as_slice(), &b"s".repeat(depth)].concat());
    assert_eq!(values(&read(scratch.write(&nested(1)), None).unwrap()[0].1), [1.0, 2.0]);
    for (depth, hint) in [(2, "a (1 tensors)"), (4, "a.a.a (1 tensors)"), (50_000, "a.a.a.a (1 tensors)")] {
        let path = scratch.write(&nested(depth));
        let told = read(&path, None).unwrap_err().to_string();
        assert!(told.contains(&format!("under a key: {hint}")), "{told}");
        let key = vec!["a"; depth.min(6) - 1].join(".");
        match read(&path, Some(&key)) {
            Ok(tensors) => assert_eq!((tensors.len(), depth < 16), (1, true)),
            Err(error) => assert!(depth > 16 && error.to_string().contains("nests deeper"), "{error}"),
        }
    }
    // A name of 60 KB that each of 2,000 dicts has, which would be written 2,000 times.
    let name = [b"X\x60\xea\0\0".as_slice(), &[b'n'; 60_000], b"q\0"].concat();
    let mut many = [b"}".as_slice(), &name, tensor.as_slice(), b"s"].concat();
    for key in 0..2_000u16 {
        let [low, high] = key.to_le_bytes();
        many.extend([b"M".as_slice(), &[low, high], b"}h\0", &tensor, b"ss"].concat());
    }
    let error = read(scratch.write(&stored(&many)), Some("")).unwrap_err().to_string();
    assert!(error.contains("nests deeper") && error.len() < 1000, "{error}");
}

#[test]
fn keys_that_are_no_text_are_kept_or_told() {
    let scratch = Scratch::new();
    let tensor = pickled(b"N", b"K\0", b"K\x02\x85", b"K\x01\x85");
    let dict = |keys: &[&[u8]]| {
        let entries: Vec<Vec<u8>> = keys.iter().map(|key| [key, tensor.as_slice(), b"s"].concat()).collect();
        scratch.write(&stored(&[b"}".to_vec(), entries.concat()].concat()))
    };
    let names = |path: &Path| read(path, None).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&dict(&[b"K\x07", b"J\xff\xff\xff\xff", b"U\x01b"])), ["-1", "7", "b"]);
    // The last of a name counts, as in Python.
    assert_eq!(names(&dict(&[b"U\x01b", b"U\x01b"])), ["b"]);
    assert!(fault(&dict(&[b"K\x07", b"U\x017"])).contains("holds 7 twice"));
    assert!(fault(&dict(&[b"U\x01b", b"N"])).contains("tensors under a key that is neither text nor number"));
    assert_eq!(names(&scratch.write(&stored(&[b"]".as_slice(), &tensor, b"a", &tensor, b"a"].concat()))), ["0", "1"]);
}

#[test]
fn every_opcode_of_python_is_known() {
    let scratch = Scratch::new();
    let tensor = pickled(b"N", b"K\0", b"K\x02\x85", b"K\x01\x85");
    // Each leaves one value, under the key `o` beside the tensor `a`.
    let objects: [&[u8]; 30] = [
        b"I01\n",
        b"I-5\n",
        b"L7L\n",
        b"F1.5\n",
        b"S'text'\n",
        b"Vtext\\u00e4\n",
        b"Np5\ng5\n0",
        b"(K\x01K\x02l",
        b"(U\x01kNd",
        b"N2\x86",
        b"N(NN1",
        b"N(0",
        b"\x8b\x02\0\0\0\x01\x02",
        b"\x8a\x0a0123456789",
        b"\x8c\x01t",
        b"\x8d\x01\0\0\0\0\0\0\0t",
        b"C\x01b",
        b"B\x01\0\0\0b",
        b"\x8e\x01\0\0\0\0\0\0\0b",
        b"\x96\x01\0\0\0\0\0\0\0b\x98",
        b"\x97",
        b"\x8f(K\x01\x90",
        b"(K\x01\x91",
        b"\x82\x01",
        b"\x83\x01\0",
        b"\x84\x01\0\0\0",
        b"]\x94(\x88\x89e",
        b"T\x02\0\0\0\xff\xfe",
        b"\x95\x01\0\0\0\0\0\0\0N",
        b"G\0\0\0\0\0\0\0\0",
    ];
    for object in objects {
        let file = stored(&[b"}U\x01a", tensor.as_slice(), b"sU\x01o", object, b"s"].concat());
        let found = read(scratch.write(&file), None).map(|tensors| tensors.len()).map_err(|error| error.to_string());
        assert_eq!(found, Ok(1), "{object:?}");
    }
    // Objects are made in four ways, and none is plain.
    for object in [
        b"cown\nThing\n)R}U\x01xK\x01sb".as_slice(),
        b"\x8c\x03own\x8c\x05Thing\x93)\x81",
        b"cown\nThing\n)}\x92",
        b"(K\x01iown\nThing\n",
        b"(cown\nThing\nK\x01o",
    ] {
        let path = scratch.write(&stored(&[b"}U\x01a", tensor.as_slice(), b"sU\x01o", object, b"s"].concat()));
        let file = SafetensorsFile::open(path).unwrap();
        let fault = file.tensor("o", &Device::Cpu).unwrap_err().to_string();
        assert!(fault.contains("o is an object (own.Thing) and no tensor"), "{fault}");
    }
}
