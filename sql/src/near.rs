//! What was probably meant.

/// Names like `name`, best first: by edit distance, or by one being the start of the other.
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = name.to_lowercase();
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.to_lowercase();
            let distance = strsim::damerau_levenshtein(&wanted, &other);
            let longest = wanted.chars().count().max(other.chars().count());
            let is_start = wanted.len() >= 3 && (other.starts_with(&wanted) || wanted.starts_with(&other));
            (distance * 3 <= longest || is_start).then_some((distance, candidate))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// "did you mean `a` or `b`?", or `otherwise` where nothing is near.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    let near: Vec<String> = near(name, known).into_iter().map(|name| format!("`{name}`")).collect();
    match near.is_empty() {
        true => otherwise.to_owned(),
        false => format!("did you mean {}?", near.join(" or ")),
    }
}

/// `name` among `known`: exactly, else the only one that equals it but for case.
pub fn find<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Result<Option<usize>, Vec<&'a str>> {
    if let Some(index) = known.clone().position(|candidate| candidate == name) {
        return Ok(Some(index));
    }
    let wanted = name.to_lowercase();
    let alike: Vec<(usize, &str)> =
        known.enumerate().filter(|(_, candidate)| candidate.to_lowercase() == wanted).collect();
    match alike.as_slice() {
        [] => Ok(None),
        [(index, _)] => Ok(Some(*index)),
        _ => Err(alike.into_iter().map(|(_, name)| name).collect()),
    }
}
