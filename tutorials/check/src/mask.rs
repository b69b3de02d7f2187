//! Hides what differs from run to run: numbers with a unit of time, and ratios of times.

const UNITS: [&str; 5] = ["µs", "ms", "s", "cores", "executions"];

/// The text with `#` for each number before a unit of time and each number that ends in `×`. On lines that
/// have one, white space counts once, since the width of a number differs too.
pub fn masked(text: &str) -> String {
    let mut masked: Vec<String> = text.lines().map(masked_line).collect();
    while masked.last().is_some_and(String::is_empty) {
        masked.pop();
    }
    masked.join("\n")
}

fn masked_line(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let hidden: Vec<bool> = (0..words.len()).map(|i| is_volatile(words[i], words.get(i + 1))).collect();
    if !hidden.contains(&true) {
        return line.trim_end().to_owned();
    }
    let word = |(word, hidden): (&&str, &bool)| if *hidden { "#".to_owned() } else { (*word).to_owned() };
    words.iter().zip(&hidden).map(word).collect::<Vec<_>>().join(" ")
}

fn is_volatile(word: &str, next: Option<&&str>) -> bool {
    let plain = |word: &str| word.trim_matches([',', '.', ';', ':', '(', ')']).to_owned();
    let is_number = |word: &str| plain(word).parse::<f64>().is_ok();
    let before_unit = next.is_some_and(|next| UNITS.contains(&plain(next).as_str()));
    let is_ratio = plain(word).strip_suffix('×').is_some_and(is_number);
    is_number(word) && before_unit || is_ratio
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ratios_are_hidden_and_counts_are_not() {
        assert_eq!(masked("3 tasks: 12 ms of work in  8.5 ms, 1.41×\n"), "3 tasks: # ms of work in # ms, #");
        assert_eq!(masked("EWR   9893  14.9\n\n"), "EWR   9893  14.9");
    }
}
