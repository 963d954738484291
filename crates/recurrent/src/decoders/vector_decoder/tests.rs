#![allow(clippy::unwrap_used)]
use super::*;
use candlewick_parameters::{Parameters, SafetensorsFile};
use candlewick_testing::flat;

/// With and without sizes that differ: what a tied decoder tells is what one tells whose output layer is Eᵀ W_p.
#[test]
fn a_tied_output_layer_is_the_words_vectors() {
    let device = &Device::Cpu;
    let words = Tensor::new(&[[1u32, 5, 7], [2, 4, 4]], device).unwrap();
    let memory = SourceVector(Tensor::new(&[[0.3f32, -0.4], [0.9, 0.1]], device).unwrap());
    for vector in [VectorInput::EachStep, VectorInput::FirstWord, VectorInput::InitialState] {
        for hidden_size in [4, 6] {
            let config = VectorDecoderConfig { vector, embedding_size: 4, hidden_size, ..Default::default() };
            let parameters = Parameters::new(1);
            let tied = VectorDecoderConfig { tied: true, ..config.clone() };
            let tied = VectorDecoder::new(2, 9, &tied, parameters.builder(device)).unwrap();
            let names = parameters.names();
            assert!(!names.contains(&"fc.weight".to_owned()));
            assert_eq!(tied.fc.weight().id(), tied.embedding.weight().id());
            assert_eq!(names.contains(&"projection.weight".to_owned()), hidden_size != 4);

            let mut tensors = parameters.tensors();
            let embedding = tied.embedding.weight();
            let product = tied.projection.as_ref().map(|projection| embedding.matmul(projection.weight()).unwrap());
            tensors.push(("fc.weight".into(), product.unwrap_or_else(|| embedding.clone())));
            tensors.retain(|(name, _)| name != "projection.weight");
            let untied = Parameters::from_file(SafetensorsFile::from_tensors("untied", &tensors).unwrap());
            let untied = VectorDecoder::new(2, 9, &config, untied.builder(device)).unwrap();

            let read = |decoder: &VectorDecoder| {
                flat(&decoder.teacher_forced(&words, &[3; 2], &memory, &mut Mode::Eval).unwrap().logits)
            };
            let (tied, untied) = (read(&tied), read(&untied));
            let near = tied.iter().zip(&untied).all(|(tied, untied)| (tied - untied).abs() < 1e-6);
            assert!(near, "{vector:?} {hidden_size}: {tied:?} {untied:?}");
        }
    }
}
