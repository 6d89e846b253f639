//! Moments of events, as people and other programs write them.

/// A moment in UTC as `2026-11-24T13:49:08.123`; from milliseconds since 1970; `between` stands
/// between date and time.
pub fn utc(time_ms: u64, between: char) -> String {
    let (days, ms) = (time_ms / 86_400_000, time_ms % 86_400_000);
    let (year, month, day) = date(days);
    let (s, ms) = (ms / 1000, ms % 1000);
    let (hour, minute, s) = (s / 3600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{s:02}.{ms:03}")
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar (Hinnant,
/// "chrono-compatible low-level date algorithms": eras of 400 years that begin on 1 March).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + 400 * era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn moments_of_the_calendar() {
        for (time_ms, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_399_999, "2000-02-28 23:59:59.999"),
            (951_782_400_000, "2000-02-29 00:00:00.000"),
            (951_868_800_000, "2000-03-01 00:00:00.000"),
            (1_795_485_775_250, "2026-11-24 02:02:55.250"),
            (4_107_542_400_000, "2100-03-01 00:00:00.000"),
        ] {
            assert_eq!(utc(time_ms, ' '), text);
        }
    }
}
