//! MNIST's idx files: a magic number that tells type and dimensions, the sizes as big-endian numbers, then bytes.

use super::set::{Block, LabelledImages, Pixels, check};
use crate::error::{Error, Result};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};

/// More than any set of this kind has, so that a broken gzip file cannot fill the memory.
const MOST_BYTES: u64 = 4 << 30;

/// The set in this folder, or nothing where it has no idx files.
pub(super) fn load(folder: &Path, dev_share: f64) -> Result<Option<LabelledImages>> {
    let Some(images) = find(folder, "train-images") else { return Ok(None) };
    let block = |images: &Path, name: &str| {
        let labels = find(folder, name)
            .ok_or_else(|| Error::labelled(folder, format!("has no {name}-idx1-ubyte beside {}", images.display())))?;
        read(images, &labels)
    };
    let train = block(&images, "train-labels")?;
    let (classes, notes) = classes(folder, &train.labels)?;
    let test = match find(folder, "t10k-images") {
        Some(images) => {
            let block = block(&images, "t10k-labels")?;
            check(&images, &block.labels, classes)?;
            block
        }
        None => Block { pixels: Pixels { bytes: Vec::new(), colours: 1, height: 0, width: 0 }, labels: Vec::new() },
    };
    let (train, dev) = train.split(dev_share);
    Ok(Some(LabelledImages {
        classes: (0..classes).map(|class| class.to_string()).collect(),
        train,
        dev,
        test: test.whole(),
        notes,
    }))
}

/// How many classes there are, and a line on those without a picture; labels that are mostly of none are not believed.
fn classes(folder: &Path, labels: &[u32]) -> Result<(usize, Vec<String>)> {
    let Some((at, &most)) = labels.iter().enumerate().max_by_key(|&(at, &label)| (label, std::cmp::Reverse(at))) else {
        return Err(Error::labelled(folder, "has no pictures to train on"));
    };
    let mut there = vec![false; most as usize + 1];
    labels.iter().filter_map(|&label| label.try_into().ok()).for_each(|label: usize| there[label] = true);
    let without: Vec<String> = (0..there.len()).filter(|&class| !there[class]).map(|class| class.to_string()).collect();
    if there.len() - without.len() == 1 {
        let fault = format!("has one class, {most}; a classifier wants two");
        return Err(Error::labelled(folder, fault));
    }
    if 2 * without.len() > there.len() {
        let fault = format!(
            "picture {at} has the label {most}, which makes {} classes, {} of them without a picture; mend the labels",
            there.len(),
            without.len()
        );
        return Err(Error::labelled(folder, fault));
    }
    let note =
        || format!("{} of {} classes have no picture to train on: {}", without.len(), there.len(), without.join(", "));
    Ok((there.len(), if without.is_empty() { Vec::new() } else { vec![note()] }))
}

/// The idx file whose name begins so: `train-images-idx3-ubyte`, with a dot instead of the last hyphens' first, or gzipped.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let rank = if name.ends_with("images") { 3 } else { 1 };
    let names = [format!("{name}-idx{rank}-ubyte"), format!("{name}.idx{rank}-ubyte")];
    let paths = names.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]);
    paths.into_iter().find(|path| path.is_file())
}

/// Pictures and labels of a pair of files.
fn read(images: &Path, labels: &Path) -> Result<Block> {
    let (sizes, bytes) = read_idx::<3>(images)?;
    let (count, own) = read_idx::<1>(labels)?;
    let [pictures, height, width] = sizes;
    if count[0] != pictures {
        let fault = format!("has {} labels for the {pictures} pictures of {}", count[0], images.display());
        return Err(Error::labelled(labels, fault));
    }
    let labels = own.into_iter().map(u32::from).collect();
    Ok(Block { pixels: Pixels { bytes, colours: 1, height, width }, labels })
}

/// The sizes and the bytes of an idx file of `R` dimensions.
fn read_idx<const R: usize>(path: &Path) -> Result<([usize; R], Vec<u8>)> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut reader: Box<dyn Read> = match path.extension().is_some_and(|extension| extension == "gz") {
        true => Box::new(GzDecoder::new(file)),
        false => Box::new(file),
    };
    let mut number = || -> Result<u32> {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map_err(|_| Error::labelled(path, "is cut short in its header"))?;
        Ok(u32::from_be_bytes(bytes))
    };
    // Two zeros, 8 for bytes, the number of dimensions.
    let magic = number()?;
    if magic != 0x0800 + R as u32 {
        return Err(Error::labelled(
            path,
            format!("begins with {magic:#x}, not as an idx file of bytes in {R} dimensions"),
        ));
    }
    let mut sizes = [0; R];
    for size in &mut sizes {
        *size = number()? as usize;
    }
    let wanted = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
    let Some(wanted) = wanted.filter(|&wanted| wanted <= MOST_BYTES) else {
        return Err(Error::labelled(path, format!("its header asks for {sizes:?} bytes, which is too much")));
    };
    let mut bytes = Vec::new();
    reader.take(wanted + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 != wanted {
        let (what, found) =
            if (bytes.len() as u64) < wanted { ("cut short", bytes.len()) } else { ("too long", bytes.len()) };
        return Err(Error::labelled(
            path,
            format!("is {what}: its header asks for {wanted} bytes, there are {found} or more"),
        ));
    }
    Ok((sizes, bytes))
}
