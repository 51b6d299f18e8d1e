/* SPDX-License-Identifier: Apache-2.0 */
#include "time_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "log.h"

#define SECOND_NS 1000000000u
/* Unix time in nanoseconds ends in the year 2554. */
#define MAX_SECONDS (UINT64_MAX / SECOND_NS - 1)

static void skip_blanks(const char **at)
{
	while (**at == ' ' || **at == '\t')
		(*at)++;
}

/* Exactly `digits` of them, or as many as there are when it is 0. */
static bool take_number(const char **at, int digits, uint64_t *ret_value)
{
	uint64_t value = 0;
	int n = 0;

	for (; isdigit((unsigned char)**at) && (digits == 0 || n < digits); (*at)++, n++) {
		if (value > MAX_SECONDS)
			return false;
		value = value * 10 + (uint64_t)(**at - '0');
	}
	*ret_value = value;
	return n > 0 && (digits == 0 || n == digits);
}

static bool take_char(const char **at, char wanted)
{
	if (**at != wanted)
		return false;
	(*at)++;
	return true;
}

/* ".25" or nothing, in units of 10^-9; further digits are cut. */
static bool take_fraction(const char **at, uint64_t *ret_ns)
{
	uint64_t unit = SECOND_NS / 10, ns = 0;

	*ret_ns = 0;
	if (!take_char(at, '.'))
		return true;
	if (!isdigit((unsigned char)**at))
		return false;
	for (; isdigit((unsigned char)**at); (*at)++, unit /= 10)
		ns += unit * (uint64_t)(**at - '0');
	*ret_ns = ns;
	return true;
}

/* "14:05", "14:05:09", "14:05:09.5" */
static bool take_clock(const char **at, struct tm *tm, uint64_t *ret_ns)
{
	uint64_t hour, minute, second = 0;

	*ret_ns = 0;
	if (!take_number(at, 2, &hour) || !take_char(at, ':') || !take_number(at, 2, &minute))
		return false;
	if (take_char(at, ':') && (!take_number(at, 2, &second) || !take_fraction(at, ret_ns)))
		return false;
	if (hour > 23 || minute > 59 || second > 60)
		return false;
	tm->tm_hour = (int)hour;
	tm->tm_min = (int)minute;
	tm->tm_sec = (int)second;
	return true;
}

static bool take_date(const char **at, struct tm *tm)
{
	static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	uint64_t year, month, day;

	if (!take_number(at, 4, &year) || !take_char(at, '-') || !take_number(at, 2, &month) || !take_char(at, '-') ||
		!take_number(at, 2, &day))
		return false;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > (uint64_t)days[month - 1])
		return false;
	if (month == 2 && day == 29 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))
		return false;
	tm->tm_year = (int)year - 1900;
	tm->tm_mon = (int)month - 1;
	tm->tm_mday = (int)day;
	return true;
}

/* "Z", "+01:00", "-0530" or nothing; ret_local: nothing. */
static bool take_zone(const char **at, long *ret_offset_s, bool *ret_local)
{
	bool west = **at == '-';
	uint64_t hours, minutes;

	*ret_offset_s = 0;
	*ret_local = false;
	if (take_char(at, 'Z') || take_char(at, 'z'))
		return true;
	if (!take_char(at, '+') && !take_char(at, '-')) {
		*ret_local = true;
		return true;
	}
	if (!take_number(at, 2, &hours))
		return false;
	take_char(at, ':');
	if (!take_number(at, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_offset_s = (long)(hours * 3600 + minutes * 60) * (west ? -1 : 1);
	return true;
}

static bool make_time(struct tm *tm, bool local, long offset_s, uint64_t fraction_ns, uint64_t *ret_time_ns)
{
	time_t seconds;

	tm->tm_isdst = -1;
	seconds = local ? mktime(tm) : timegm(tm) - offset_s;
	if (seconds < 0 || (uint64_t)seconds > MAX_SECONDS)
		return false;
	*ret_time_ns = (uint64_t)seconds * SECOND_NS + fraction_ns;
	return true;
}

/* A date, with or without a time of day. */
static bool parse_date(const char *at, uint64_t *ret_time_ns)
{
	struct tm tm = {0};
	uint64_t fraction_ns = 0;
	bool local = true;
	long offset_s = 0;

	if (!take_date(&at, &tm))
		return false;
	if (*at) {
		if (!take_char(&at, 'T') && !take_char(&at, 't') && !take_char(&at, ' '))
			return false;
		if (!take_clock(&at, &tm, &fraction_ns))
			return false;
		skip_blanks(&at);
		if (!take_zone(&at, &offset_s, &local))
			return false;
	}
	return *at == '\0' && make_time(&tm, local, offset_s, fraction_ns, ret_time_ns);
}

/* Of today, or the first moment of a day. */
static bool parse_day(const char *at, uint64_t now_ns, uint64_t *ret_time_ns)
{
	time_t now = (time_t)(now_ns / SECOND_NS);
	uint64_t fraction_ns = 0;
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return false;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	if (strcasecmp(at, "yesterday") == 0)
		tm.tm_mday--;
	else if (strcasecmp(at, "today") != 0 && (!take_clock(&at, &tm, &fraction_ns) || *at))
		return false;
	return make_time(&tm, true, 0, fraction_ns, ret_time_ns);
}

/* "1795486065.25" */
static bool parse_seconds(const char *at, uint64_t *ret_time_ns)
{
	uint64_t seconds, ns;

	take_char(&at, '@');
	if (!take_number(&at, 0, &seconds) || !take_fraction(&at, &ns) || *at || seconds > MAX_SECONDS)
		return false;
	*ret_time_ns = seconds * SECOND_NS + ns;
	return true;
}

/* 0: no such unit. */
static uint64_t unit_ns(const char *name, size_t length)
{
	static const struct {
		const char *names;
		uint64_t ns;
	} units[] = {
		{"|ns|nanosecond|nanoseconds|", 1},
		{"|us|microsecond|microseconds|", 1000},
		{"|ms|msec|millisecond|milliseconds|", 1000000},
		{"|s|sec|secs|second|seconds|", SECOND_NS},
		{"|m|min|mins|minute|minutes|", 60ull * SECOND_NS},
		{"|h|hr|hrs|hour|hours|", 3600ull * SECOND_NS},
		{"|d|day|days|", 86400ull * SECOND_NS},
		{"|w|week|weeks|", 604800ull * SECOND_NS},
	};
	char wanted[16];

	if (length == 0 || length > sizeof(wanted) - 3)
		return 0;
	wanted[0] = '|';
	memcpy(wanted + 1, name, length);
	memcpy(wanted + 1 + length, "|", 2);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcasestr(units[i].names, wanted))
			return units[i].ns;
	return 0;
}

/* "-10m", "10 minutes ago", "2h ago" */
static bool parse_before(const char *at, uint64_t now_ns, uint64_t *ret_time_ns)
{
	bool minus = take_char(&at, '-');
	uint64_t whole, fraction_ns, unit;
	const char *name;
	__uint128_t before;

	if (!take_number(&at, 0, &whole) || !take_fraction(&at, &fraction_ns))
		return false;
	skip_blanks(&at);
	for (name = at; isalpha((unsigned char)*at); at++)
		;
	unit = unit_ns(name, (size_t)(at - name));
	skip_blanks(&at);
	if (unit == 0 || (minus ? *at != '\0' : strcasecmp(at, "ago") != 0))
		return false;
	before = (__uint128_t)whole * unit + (__uint128_t)fraction_ns * unit / SECOND_NS;
	*ret_time_ns = before < now_ns ? now_ns - (uint64_t)before : 0;
	return true;
}

int wb_time_parse(const char *text, uint64_t now_ns, uint64_t *ret_time_ns, struct wb_error *ret_error)
{
	const char *at = text;

	skip_blanks(&at);
	if (strcasecmp(at, "now") == 0) {
		*ret_time_ns = now_ns;
		return 0;
	}
	if (parse_date(at, ret_time_ns) || parse_day(at, now_ns, ret_time_ns) || parse_seconds(at, ret_time_ns) ||
		parse_before(at, now_ns, ret_time_ns))
		return 0;
	return wb_fail(ret_error, -EINVAL,
		"'%s' is not a time: write 2026-11-30T14:05:09Z, 2026-11-30 14:05 (local time), seconds since 1970, "
		"\"10 minutes ago\" or -10m",
		text);
}
