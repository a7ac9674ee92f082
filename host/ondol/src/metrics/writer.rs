//! Writes single metrics. Knows nothing of what they mean.

use std::fmt::Result;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// A metric: its whole name, of a counter without `_total`, its unit if it has one, and what it means.
#[derive(Clone, Copy)]
pub(super) struct Metric(pub(super) &'static str, pub(super) Option<Base>, pub(super) &'static str);

/// A base unit.
#[derive(Clone, Copy)]
pub(super) enum Base {
    Seconds,
    Bytes,
}

impl Base {
    fn unit(self) -> Unit {
        match self {
            Self::Seconds => Unit::Seconds,
            Self::Bytes => Unit::Bytes,
        }
    }
}

/// A histogram at one moment.
pub(super) struct Histogram {
    /// The upper bounds and how many are in each bucket, without those below it.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) sum: f64,
}

/// Writes metrics one after another.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

impl Writer<'_> {
    pub(super) fn counter(&mut self, metric: Metric, value: u64) -> Result {
        self.family(metric, MetricType::Counter, |encoder| encoder.encode_counter::<NoLabelSet, _, u64>(&value, None))
    }

    pub(super) fn counter_of_seconds(&mut self, metric: Metric, value: f64) -> Result {
        self.family(metric, MetricType::Counter, |encoder| encoder.encode_counter::<NoLabelSet, _, u64>(&value, None))
    }

    pub(super) fn gauge(&mut self, metric: Metric, value: impl EncodeGaugeValue + Copy) -> Result {
        self.family(metric, MetricType::Gauge, |encoder| encoder.encode_gauge(&value))
    }

    /// A counter for each row of labels.
    pub(super) fn counters<'l, const N: usize>(
        &mut self,
        metric: Metric,
        rows: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> Result {
        self.family(metric, MetricType::Counter, |encoder| {
            rows.into_iter().try_for_each(|(labels, value)| {
                encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
            })
        })
    }

    /// A gauge for each row of labels.
    pub(super) fn gauges<'l, const N: usize>(
        &mut self,
        metric: Metric,
        rows: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> Result {
        self.family(metric, MetricType::Gauge, |encoder| {
            rows.into_iter().try_for_each(|(labels, value)| encoder.encode_family(&labels)?.encode_gauge(&value))
        })
    }

    pub(super) fn histogram(&mut self, metric: Metric, histogram: &Histogram) -> Result {
        self.family(metric, MetricType::Histogram, |encoder| encode_histogram(encoder, histogram))
    }

    /// A histogram for each row of labels.
    pub(super) fn histograms<'l, const N: usize>(
        &mut self,
        metric: Metric,
        rows: impl IntoIterator<Item = (Labels<'l, N>, Histogram)>,
    ) -> Result {
        self.family(metric, MetricType::Histogram, |encoder| {
            rows.into_iter()
                .try_for_each(|(labels, histogram)| encode_histogram(&mut encoder.encode_family(&labels)?, &histogram))
        })
    }

    fn family(
        &mut self,
        Metric(name, base, help): Metric,
        kind: MetricType,
        write: impl FnOnce(&mut prometheus_client::encoding::MetricEncoder<'_>) -> Result,
    ) -> Result {
        let unit = base.map(Base::unit);
        // The library appends the unit to the name.
        let ending = unit.as_ref().map(|unit| format!("_{}", unit.as_str())).unwrap_or_default();
        let name = name.strip_suffix(ending.as_str()).unwrap_or(name);
        write(&mut self.0.encode_descriptor(name, help, unit.as_ref(), kind)?)
    }
}

fn encode_histogram(
    encoder: &mut prometheus_client::encoding::MetricEncoder<'_>,
    Histogram { buckets, sum }: &Histogram,
) -> Result {
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
}
