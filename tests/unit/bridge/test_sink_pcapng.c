/* SPDX-License-Identifier: Apache-2.0 */
/* The pcapng sink writes files that Wireshark's tools read, with all facts in them. */
#include "sink_support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MACS "0200000000020200000000 01"

/* A sink whose output is in memory. */
struct file {
	struct wb_sink *sink;
	FILE *stream;
	char *bytes;
	size_t length;
};

static void file_open(struct file *file)
{
	struct wb_error error = {""};

	*file = (struct file){0};
	file->stream = open_memstream(&file->bytes, &file->length);
	assert_non_null(file->stream);
	assert_int_equal(wb_sink_pcapng.open(file->stream, &file->sink, &error), 0);
}

static void file_finish(struct file *file, struct pcapng_facts *ret_facts)
{
	assert_int_equal(wb_sink_pcapng.finish(file->sink), 0);
	wb_sink_pcapng.close(file->sink);
	fclose(file->stream);
	check_pcapng(file->bytes, file->length, ret_facts);
}

/* What tshark says of these fields of every packet. */
static char *tshark(const struct file *file, const char *fields)
{
	char path[64], command[1024], *output;

	to_file(file->bytes, file->length, path);
	snprintf(command, sizeof(command), "/usr/bin/tshark -n -r %s -T fields -E separator=/s %s 2>/dev/null", path,
		fields);
	output = output_of(command);
	unlink(path);
	return output;
}

static void put(struct file *file, const struct wbproto_record *record)
{
	assert_int_equal(wb_sink_pcapng.packet(file->sink, record, 0), 0);
}

static void test_facts(void **state)
{
	struct wbproto_record record;
	struct pcapng_facts facts;
	struct file file;
	uint8_t *frame;
	char *text;

	need_program("/usr/bin/tshark");
	file_open(&file);
	ordinary_record(&record);
	frame = from_hex(MACS "0800 4500001e 00010000 40110000 0a000001 0a000002 04d20035 000a0000 4142",
		&record.packet.captured_length);
	record.packet.data = frame;
	record.packet.original_length = 1514;
	record.packet.flags = WBPROTO_PACKET_OUTBOUND | WBPROTO_PACKET_MULTICAST;
	record.packet_seq = 77;
	record.interface.filter = VIEW("udp or \xe2\x82\xac");
	record.interface.speed_bps = 10000000000;
	put(&file, &record);
	record.node = VIEW("lab2");
	record.packet.time_unix_ns++;
	record.packet.flags = WBPROTO_PACKET_INBOUND;
	record.packet.original_length = 44;
	record.packet_seq++;
	put(&file, &record);
	record.node = VIEW("lab1");
	put(&file, &record);
	file_finish(&file, &facts);
	assert_int_equal(facts.interfaces, 2);
	assert_int_equal(facts.packets, 3);
	assert_int_equal(facts.statistics, 2);
	text = tshark(&file,
		"-e frame.time_epoch -e frame.interface_name -e frame.interface_description -e frame.cap_len "
		"-e frame.len -e frame.packet_flags_direction -e frame.packet_flags_reception_type "
		"-e frame.packet_id -e udp.dstport -e frame.interface_id");
	assert_string_equal(text, "1795486065.123456789 veth0 lab1 44 1514 0x00000002 2 77 53 0\n"
				  "1795486065.123456790 veth0 lab2 44 44 0x00000001 0 78 53 1\n"
				  "1795486065.123456790 veth0 lab1 44 44 0x00000001 0 78 53 0\n");
	free(text);
	/* The filter is an option with a leading code byte 0 for a libpcap expression; the speed has 8 bytes. */
	assert_non_null(memmem(file.bytes, file.length, "\x0b\x00\x0b\x00\x00udp or \xe2\x82\xac", 15));
	assert_non_null(memmem(file.bytes, file.length, "\x08\x00\x08\x00\x00\xe4\x0b\x54\x02\x00\x00\x00", 12));
	free(frame);
	free(file.bytes);
}

static void test_capinfos(void **state)
{
	struct wbproto_record record;
	struct pcapng_facts facts;
	struct file file;
	char path[64], command[128], *text;

	need_program("/usr/bin/capinfos");
	file_open(&file);
	ordinary_record(&record);
	record.interface.filter = VIEW("udp");
	put(&file, &record);
	file_finish(&file, &facts);
	to_file(file.bytes, file.length, path);
	snprintf(command, sizeof(command), "/usr/bin/capinfos %s", path);
	text = output_of(command);
	assert_non_null(strstr(text, "Name = veth0"));
	assert_non_null(strstr(text, "Description = lab1"));
	assert_non_null(strstr(text, "Filter string = udp"));
	assert_non_null(strstr(text, "Time precision = nanoseconds (9)"));
	assert_non_null(strstr(text, "Capture length = 65539"));
	assert_non_null(strstr(text, "Number of stat entries = 1"));
	assert_non_null(strstr(text, "wirebus " WIREBUS_VERSION));
	unlink(path);
	free(text);
	free(file.bytes);
}

static void test_tag(void **state)
{
	struct wbproto_record record;
	struct pcapng_facts facts;
	struct file file;
	uint8_t *frame;
	char *text;

	need_program("/usr/bin/tshark");
	file_open(&file);
	ordinary_record(&record);
	frame = from_hex(MACS "0800 4500001e 00010000 40110000 0a000001 0a000002 04d20035 000a0000 4142",
		&record.packet.captured_length);
	record.packet.data = frame;
	record.packet.original_length = 44;
	record.packet.vlan_tpid = 0x8100;
	record.packet.vlan_tci = 5 << 13 | 100;
	put(&file, &record);
	record.packet.vlan_tci = 0; /* tag 0 is a tag, too */
	put(&file, &record);
	record.packet.vlan_tpid = 0x88a8;
	record.packet.vlan_tci = 7;
	put(&file, &record);
	record.packet.captured_length = 12; /* just the addresses: the tag follows them, too short to be shown */
	put(&file, &record);
	record.packet.captured_length = 11; /* no place for it */
	put(&file, &record);
	record.packet.captured_length = 44;
	record.packet.vlan_tpid = 0;
	put(&file, &record);
	file_finish(&file, &facts);
	text = tshark(&file, "-e frame.cap_len -e frame.len -e vlan.priority -e vlan.id -e ieee8021ad.id -e "
			     "udp.srcport -E occurrence=f");
	assert_string_equal(
		text, "48 48 5 100  1234\n48 48 0 0  1234\n48 48   7 1234\n16 48    \n11 44    \n44 44    1234\n");
	free(text);
	free(frame);
	free(file.bytes);
}

/* A batch with these counters and so many packets; the packets are not given to the sink. */
static void put_batch(struct file *file, uint64_t batch_seq, uint32_t worker, uint64_t seen, uint64_t dropped)
{
	struct wbproto_interface interface = {.index = 3, .link_type = 1, .name = VIEW("veth0")};
	struct wbproto_record ordinary;
	struct wbproto_batch batch = {.worker_id = worker,
		.stream_id = worker,
		.batch_seq = batch_seq,
		.first_packet_seq = 1,
		.interfaces = &interface,
		.interface_count = 1,
		.has_counters = true,
		.counters = {.kernel_seen = seen, .kernel_dropped = dropped}};
	struct wbproto_encoder *encoder;
	struct wbproto_reader reader;
	struct wb_sink_batch head;
	uint8_t message[1024];
	size_t size;

	ordinary_record(&ordinary);
	memcpy(batch.session_id, ordinary.session_id, sizeof(batch.session_id));
	assert_int_equal(wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &encoder), 0);
	assert_int_equal(wbproto_encoder_open(encoder, message, sizeof(message), &batch), 0);
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &size), 0);
	wbproto_encoder_destroy(encoder);
	assert_int_equal(wbproto_reader_init(&reader, message, size), 0);
	wb_sink_batch_of(&reader, &head);
	assert_int_equal(wb_sink_pcapng.batch(file->sink, &head), 0);
}

/* A step of kernel_dropped is told with the first packet after it, of the same worker, once. */
static void test_drops(void **state)
{
	struct wbproto_record record;
	struct pcapng_facts facts;
	struct file file;
	char *text;

	need_program("/usr/bin/tshark");
	file_open(&file);
	ordinary_record(&record);
	put_batch(&file, 1, 1, 10, 4);
	put(&file, &record); /* before the drops */
	put_batch(&file, 2, 1, 20, 4);
	record.worker_id = 2;
	put(&file, &record); /* another worker */
	record.worker_id = 1;
	put(&file, &record); /* the one: 4 */
	put(&file, &record);
	put_batch(&file, 3, 1, 30, 9);
	put_batch(&file, 4, 1, 31, 10); /* a heartbeat */
	put(&file, &record);            /* 5; the last one comes after */
	put_batch(&file, 5, 1, 32, 10);
	put(&file, &record);             /* 1 */
	put_batch(&file, 9, 2, 100, 50); /* joined late: when its 50 were is not known */
	put_batch(&file, 10, 2, 100, 50);
	record.worker_id = 2;
	put(&file, &record);
	file_finish(&file, &facts);
	assert_int_equal(facts.drop_counts, 10);
	text = tshark(&file, "-e frame.number -e frame.drop_count");
	assert_string_equal(text, "1 \n2 \n3 4\n4 \n5 5\n6 1\n7 \n");
	/* Statistics: both workers' counters, received 32 + 100, dropped 10 + 50, delivered 7. */
	assert_non_null(memmem(file.bytes, file.length,
		"\x04\x00\x08\x00\x84\0\0\0\0\0\0\0\x05\x00\x08\x00\x3c\0\0\0\0\0\0\0"
		"\x08\x00\x08\x00\x07\0\0\0\0\0\0\0",
		36));
	free(text);
	free(file.bytes);
}

/* What no honest producer writes: the file stays readable, and nothing is lost that fits. */
static void test_hostile(void **state)
{
	static uint8_t huge[300000];
	struct wbproto_record record;
	struct pcapng_facts facts;
	struct file file;
	char *text;

	need_program("/usr/bin/tshark");
	file_open(&file);
	memset(huge, 0xab, sizeof(huge));
	ordinary_record(&record);
	record.packet.data = huge;
	record.packet.captured_length = record.packet.original_length = 70000; /* honest, but more than 64 KiB */
	record.interface.snap_length = 0;
	put(&file, &record);
	record.packet.captured_length = sizeof(huge); /* more than readers take */
	record.packet.original_length = 3;            /* less than captured */
	record.packet.vlan_tpid = 0x8100;
	put(&file, &record);
	record.packet.original_length = UINT32_MAX; /* no room for the tag's 4 bytes */
	put(&file, &record);
	record.packet.interface_index = 4;
	record.interface.snap_length = 10; /* less than captured, and too little for a tag */
	put(&file, &record);
	record.packet.vlan_tpid = 0;
	record.interface = (struct wbproto_interface){0}; /* not named */
	record.packet.captured_length = 20;
	record.packet.original_length = 20;
	put(&file, &record);
	record.packet.interface_index = UINT32_MAX;
	record.interface.link_type = UINT32_MAX;
	record.interface.name = record.interface.filter = record.node = (struct wbproto_view){huge, sizeof(huge)};
	put(&file, &record);
	file_finish(&file, &facts);
	assert_int_equal(facts.interfaces, 4);
	text = tshark(&file, "-e frame.cap_len -e frame.interface_id");
	assert_string_equal(text, "70000 0\n262144 0\n262144 0\n12 1\n20 2\n20 3\n");
	free(text);
	free(file.bytes);
}

/* Interfaces without end are gathered into one for each link type; no packet is lost by that. */
static void test_many_interfaces(void **state)
{
	struct wbproto_record record;
	struct pcapng_facts facts;
	struct file file;

	file_open(&file);
	ordinary_record(&record);
	for (uint32_t i = 0; i < 20000; i++) {
		record.packet.interface_index = i;
		record.interface.link_type = i % 2 ? 1 : 101;
		put(&file, &record);
	}
	file_finish(&file, &facts);
	assert_int_equal(facts.packets, 20000);
	assert_int_equal(facts.interfaces, 16384 + 2);
	assert_int_equal(facts.statistics, facts.interfaces);
	free(file.bytes);
}

static void test_full_disk(void **state)
{
	struct wb_error error = {""};
	struct wbproto_record record;
	struct wb_sink *sink;
	FILE *full = fopen("/dev/full", "w");

	assert_non_null(full);
	assert_int_equal(wb_sink_pcapng.open(full, &sink, &error), 0);
	ordinary_record(&record);
	assert_int_equal(wb_sink_pcapng.packet(sink, &record, 0), 0); /* in the stream's buffer */
	assert_int_equal(wb_sink_pcapng.finish(sink), -ENOSPC);
	wb_sink_pcapng.close(sink);
	fclose(full);
	full = fopen("/dev/full", "w");
	setvbuf(full, NULL, _IONBF, 0);
	assert_int_equal(wb_sink_pcapng.open(full, &sink, &error), -ENOSPC);
	fclose(full);
}

/* The file was cut back to where it was flushed last, maybe before its head: what is left is whole. */
static void test_cut_back(void **state)
{
	for (int kept = 0; kept < 3; kept++) {
		struct wbproto_record record;
		struct pcapng_facts facts;
		off_t length = 0;
		struct file file;

		file_open(&file);
		ordinary_record(&record);
		for (uint32_t i = 1; i <= 4; i++) {
			record.packet.interface_index = i;
			put(&file, &record);
			put(&file, &record);
			if ((int)i == kept) {
				wb_sink_pcapng.keep(file.sink);
				length = ftello(file.stream);
			}
		}
		assert_int_equal(wb_sink_pcapng.finish(file.sink), 0);
		assert_int_equal(fseeko(file.stream, length, SEEK_SET), 0);
		wb_sink_pcapng.cut(file.sink);
		file_finish(&file, &facts);
		assert_int_equal(facts.packets, 2 * kept);
		assert_int_equal(facts.interfaces, kept);
		assert_int_equal(facts.statistics, kept);
		free(file.bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_capinfos),
		cmocka_unit_test(test_tag),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_many_interfaces),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_cut_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
