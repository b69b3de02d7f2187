//! Maps whose order follows from what was put into them: a run of the loop can be repeated step by step. They hash
//! faster than std does: some are looked into several times per event.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// A hash map without randomness of its own. For keys that strangers do not choose.
pub(crate) type Map<K, V> = HashMap<K, V, FixedState>;
