//! Frames: a big-endian length of four bytes, checked against a cap before anything is allocated,
//! then one MessagePack value.
