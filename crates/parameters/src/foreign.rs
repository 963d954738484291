//! Magic numbers of other file formats, so that a message can name what a file is.

use crate::content::Content;

/// How each begins, what it is, and what to do.
const FORMATS: &[(&[u8], &str)] = &[
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes them; save the weights as safetensors or with torch.save"),
    (b"GGUF", "a GGUF file; take the weights as safetensors or with torch.save"),
    (b"\x93NUMPY", "a NumPy array; save the weights as safetensors or with torch.save"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ\0", "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer and not the file itself; git lfs pull fetches that"),
    (b"<", "a page of the web and not the file itself; download that"),
    (b"{", "a JSON file; name the file of the weights themselves"),
];

/// What a file is that is neither safetensors nor PyTorch's, and what to do, if its first bytes tell.
pub(crate) fn named(content: &Content) -> Option<&'static str> {
    let start = content.start(512).ok()?;
    if start.get(257..262) == Some(b"ustar") {
        return Some(
            "a tar archive, as PyTorch wrote before 0.2 or others pack; unpack it, or save the state dict anew",
        );
    }
    if start.get(4..8) == Some(b"TFL3") {
        return Some("a TensorFlow Lite file; save the weights as safetensors or with torch.save");
    }
    if start.len() > 1 && start[0] == 0x80 && (2..=5).contains(&start[1]) {
        return Some("a pickle that torch.save did not write; save the state dict with torch.save");
    }
    if start.is_empty() {
        return Some("an empty file; take another copy of it");
    }
    FORMATS.iter().find(|(magic, _)| start.starts_with(magic)).map(|&(_, what)| what)
}
