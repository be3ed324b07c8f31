//! What is printed: to standard output the figures, each as a short table.

use std::thread;
use std::time::Duration;

use crate::error::BenchError;
use crate::load::Failures;
use crate::machine;
use crate::options::Options;
use crate::rounds::{Comparison, Side, Spread};

/// The load generator is the limit where it takes more of its processor than this.
const BUSY: f64 = 0.9;

/// What a figure is about.
pub(crate) struct Heading<'a> {
    /// Its number in the list of goals.
    pub(crate) name: &'a str,
    /// What is measured.
    pub(crate) path: &'a str,
    /// Beside what.
    pub(crate) control: &'a str,
    /// The ratio to reach, where there is one.
    pub(crate) goal: Option<f64>,
    /// What a reader must know to judge it.
    pub(crate) notes: Vec<String>,
}

/// Prints the conditions of the run.
///
/// # Errors
/// Where the temporary folder cannot be written to.
pub(crate) fn conditions(options: &Options) -> Result<(), BenchError> {
    let folder = options.temporary_folder()?;
    let sync = machine::durable_sync(folder.path())?;
    let processors = thread::available_parallelism().map_or(0, usize::from);
    let pace = options.pace();
    println!(
        "rounds: {}, each turn measured for {:?} after {:?} of warm-up",
        options.rounds, pace.measured, pace.warm_up
    );
    println!(
        "{processors} processors, shared by server and load; one durable sync takes {}",
        time(sync)
    );
    if cfg!(debug_assertions) {
        println!(
            "This is a debug build: its load generator and controls are slow, its ratios mean nothing."
        );
    }
    Ok(())
}

/// Prints a figure.
///
/// # Errors
/// Where a request failed: such a figure does not count.
pub(crate) fn comparison(heading: &Heading<'_>, result: &Comparison) -> Result<(), BenchError> {
    println!("\n{}  {}", heading.name, heading.path);
    println!("    control: {}", heading.control);
    println!(
        "    {:<8}  {:>32}  {:>10}  {:>10}  {:>11}",
        "", "per second", "p50", "p99", "server CPU"
    );
    side("product", &result.product);
    side("control", &result.control);
    if let Some(ratio) = result.ratio() {
        let spread = format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.least, ratio.most);
        let verdict = heading.goal.map_or_else(
            || "no goal".to_owned(),
            |goal| {
                let verdict = if ratio.median >= goal { "reached" } else { "missed" };
                format!("goal ≥ {goal:.2}: {verdict}")
            },
        );
        println!("    {:<8}  {spread:>32}  {verdict}", "ratio");
    }
    for note in &heading.notes {
        println!("    {note}");
    }
    load_note(result);
    disk_note(result);
    batch_note(result);
    let failed = failures("product", &result.product.failures())
        | failures("control", &result.control.failures());
    if failed {
        Err(BenchError::failed(format!("{}: some requests failed", heading.name)))
    } else {
        Ok(())
    }
}

/// Prints a value that is to stay below a goal.
pub(crate) fn below(what: &str, unit: &str, values: Option<Spread>, goal: f64) {
    let Some(Spread { median, least, most }) = values else {
        println!("    {what:<20}  not known here");
        return;
    };
    let verdict = if median < goal { "reached" } else { "missed" };
    let spread = format!("{median:.1} ({least:.1}–{most:.1}) {unit}");
    println!("    {what:<20}  {spread:>28}  goal < {goal:.0} {unit}: {verdict}");
}

/// Prints how much longer the product takes than the control, by what 99 % of the answers of a turn did not pass;
/// answers that.
///
/// # Errors
/// Where a request failed, or nothing was answered.
pub(crate) fn slower(name: &str, result: &Comparison, goal: f64) -> Result<f64, BenchError> {
    let failed = failures("product", &result.product.failures())
        | failures("control", &result.control.failures());
    let percentiles = |side: &Side| {
        side.percentile_millis(50).zip(side.percentile_millis(99)).filter(|_| !failed)
    };
    let sides = percentiles(&result.product).zip(percentiles(&result.control));
    let Some(((half, most), (half_beside, most_beside))) = sides else {
        return Err(BenchError::failed(format!("{name}: some requests failed")));
    };
    let ratio = most.median / most_beside.median;
    let verdict = if ratio <= goal { "reached" } else { "missed" };
    println!(
        "    {name:<42}  p50 {:>6.2} ms, {:>6.2} beside  p99 {:>6.2} ms, {:>6.2} beside  {ratio:>5.2}  goal ≤ {goal:.2}: \
         {verdict}",
        half.median, half_beside.median, most.median, most_beside.median
    );
    Ok(ratio)
}

fn side(name: &str, side: &Side) {
    let rate = side.rate().map_or_else(String::new, |rate| {
        format!("{} ({}–{})", grouped(rate.median), grouped(rate.least), grouped(rate.most))
    });
    let latencies = side.latencies();
    let percentile = |percent| latencies.percentile(percent).map_or_else(|| "–".to_owned(), time);
    let used =
        side.server_time().map_or_else(|| "–".to_owned(), |used| format!("{} each", time(used)));
    println!(
        "    {name:<8}  {rate:>32}  {:>10}  {:>10}  {used:>11}",
        percentile(50),
        percentile(99)
    );
}

fn load_note(result: &Comparison) {
    let sides = [("product", &result.product), ("control", &result.control)];
    let busy = sides.map(|(name, side)| Some((name, side.generator_busy()?)));
    for (name, share) in busy.into_iter().flatten() {
        println!(
            "    load generator beside the {name}: {:.0} % of one processor at most",
            share * 100.0
        );
        if share > BUSY {
            println!("    It was the limit there: the ratio cannot be trusted.");
        }
    }
}

fn disk_note(result: &Comparison) {
    if let (Some(product), Some(control)) =
        (result.product.disk_bytes(), result.control.disk_bytes())
    {
        println!(
            "    on disk: {product:.0} bytes a command for the product, {control:.0} for the control"
        );
    }
}

fn batch_note(result: &Comparison) {
    for (name, side) in [("product", &result.product), ("control", &result.control)] {
        if let Some(batch) = side.batch() {
            println!("    {name}: {batch:.0} commands a transaction on average");
        }
    }
}

fn failures(name: &str, failures: &Failures) -> bool {
    if failures.count > 0 {
        let example = failures.example.as_deref().unwrap_or("unknown");
        println!("    {name}: {} requests FAILED, such as: {example}", failures.count);
    }
    failures.count > 0
}

fn time(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        ..1_000.0 => format!("{micros:.0} µs"),
        1_000.0..100_000.0 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.0} ms", micros / 1e3),
    }
}

/// A number with its thousands set apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(999.4), "999");
        assert_eq!(grouped(1_000.0), "1 000");
        assert_eq!(grouped(1_234_567.0), "1 234 567");
    }

    #[test]
    fn a_time_has_the_unit_that_fits() {
        assert_eq!(time(Duration::from_micros(16)), "16 µs");
        assert_eq!(time(Duration::from_micros(2_345)), "2.35 ms");
        assert_eq!(time(Duration::from_millis(1_200)), "1200 ms");
    }
}
