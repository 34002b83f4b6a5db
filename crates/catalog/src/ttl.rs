//! `ttl`: reads as read-through; a write goes to Postgres and leaves the cache alone.
//!
//! Readers may see a value that is as old as its TTL. In exchange a write costs the cache
//! nothing, and a key that changes all the time is still loaded only once per TTL. Who asks for
//! the version of his own write gets it, and replaces the entry by it.

pub(crate) use crate::read_through::read;
