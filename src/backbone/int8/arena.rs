//! Places for maps in one block of memory.

use std::ops::Range;

/// Places begin on cache lines.
const ALIGN: usize = 64;

/// A map that needs a place while steps `from..=to` run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tenant {
    pub len: usize,
    pub from: usize,
    pub to: usize,
}

/// A place for each tenant, none overlapping another that lives at the same time, and the length of
/// the whole. Largest first, each at the lowest offset that is free.
pub(super) fn places(tenants: &[Tenant]) -> (Vec<Range<usize>>, usize) {
    let mut order: Vec<usize> = (0..tenants.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(tenants[i].len));
    let mut places = vec![0..0; tenants.len()];
    let mut placed: Vec<usize> = Vec::new();
    for i in order {
        let tenant = tenants[i];
        let meets = |other: Tenant| tenant.from <= other.to && other.from <= tenant.to;
        let mut taken: Vec<Range<usize>> =
            placed.iter().filter(|&&j| meets(tenants[j])).map(|&j| places[j].clone()).collect();
        taken.sort_by_key(|place| place.start);
        let mut offset = 0;
        for place in taken {
            if offset + tenant.len <= place.start {
                break;
            }
            offset = offset.max(place.end.next_multiple_of(ALIGN));
        }
        places[i] = offset..offset + tenant.len;
        placed.push(i);
    }
    let len = places.iter().map(|place| place.end).max().unwrap_or(0);
    (places, len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_chain_needs_two_maps() {
        let chain: Vec<Tenant> = (0..9).map(|i| Tenant { len: 640, from: i, to: i + 1 }).collect();
        assert_eq!(places(&chain).1, 1280);
    }

    proptest! {
        #[test]
        fn tenants_of_one_time_do_not_overlap(
            tenants in prop::collection::vec((1usize..500, 0usize..20, 0usize..6), 1..30)
        ) {
            let tenants: Vec<Tenant> = tenants
                .into_iter()
                .map(|(len, from, stay)| Tenant { len, from, to: from + stay })
                .collect();
            let (places, len) = places(&tenants);
            for i in 0..tenants.len() {
                prop_assert_eq!(places[i].len(), tenants[i].len);
                prop_assert!(places[i].end <= len);
                for j in 0..i {
                    let at_once = tenants[i].from <= tenants[j].to && tenants[j].from <= tenants[i].to;
                    let overlap = places[i].start < places[j].end && places[j].start < places[i].end;
                    prop_assert!(!(at_once && overlap), "{:?} and {:?}", places[i], places[j]);
                }
            }
        }
    }
}
