//! What regularises any cell: dropout of its inputs, state or weights, and zoneout.

pub mod drop_connect;
pub mod recurrent_dropout;
pub mod variational;
pub mod zoneout;
