//! A month as a tenant lives it.
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use std::fmt;

/// A month of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i32,
    /// 1 to 12.
    month: u32,
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl Month {
    /// The month that it is in this time zone.
    pub fn of(at: DateTime<Utc>, zone: Tz) -> Self {
        let there = at.with_timezone(&zone);
        Self { year: there.year(), month: there.month() }
    }

    const fn next(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1 },
            month => Self { year: self.year, month: month + 1 },
        }
    }

    /// From its first moment to that of the next month.
    pub fn span(self, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
        (self.first_moment(zone), self.next().first_moment(zone))
    }

    /// Where the clocks leap over midnight, the month begins when they have; where they repeat it, at the first time.
    fn first_moment(self, zone: Tz) -> DateTime<Utc> {
        let midnight =
            NaiveDate::from_ymd_opt(self.year, self.month, 1).unwrap_or_default().and_time(chrono::NaiveTime::MIN);
        let mut quarters = (0..96).map(|quarter| midnight + TimeDelta::minutes(15 * quarter));
        let first = quarters.find_map(|local| zone.from_local_datetime(&local).earliest());
        first.map_or_else(|| midnight.and_utc(), |first| first.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_begins_where_the_tenant_is() {
        let sao_paulo = Tz::America__Sao_Paulo;
        assert_eq!(Month::of(at("2026-12-01T02:59:59Z"), sao_paulo).to_string(), "2026-11");
        assert_eq!(Month::of(at("2026-12-01T03:00:00Z"), sao_paulo).to_string(), "2026-12");
        assert_eq!(Month::of(at("2026-11-30T14:00:00Z"), Tz::Pacific__Kiritimati).to_string(), "2026-12");
    }

    #[test]
    fn months_follow_each_other_without_a_gap() {
        for zone in [Tz::UTC, Tz::America__Sao_Paulo, Tz::Asia__Kathmandu, Tz::America__Havana] {
            let mut month = Month { year: 2024, month: 11 };
            for _ in 0..30 {
                let (first, end) = month.span(zone);
                assert_eq!(Month::of(first, zone), month, "{zone}");
                assert_eq!(Month::of(end - TimeDelta::nanoseconds(1), zone), month, "{zone}");
                assert_eq!(end, month.next().span(zone).0);
                month = month.next();
            }
        }
    }

    #[test]
    fn a_midnight_that_the_clocks_leap_over_is_none() {
        // Paraguay put its clocks from 0:00 to 1:00 on 1 October 2017.
        let (first, _) = Month { year: 2017, month: 10 }.span(Tz::America__Asuncion);
        assert_eq!(first, at("2017-10-01T04:00:00Z"));
    }
}
