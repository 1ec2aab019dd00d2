/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* How long block I/O takes, by device, operation, size and the cgroup that issued it, in two phases:
 *
 *      inserted     issued to the driver           completed
 *      |--- queue --|----------- device -----------|
 *
 * A request is counted when all of it is completed, once in each phase. Without an insert it has no
 * queue phase. One that the driver hands back (requeue) waits from then on as if it had been
 * inserted, and its device phase begins at its last issue. One that is merged into another is gone.
 *
 * A flush (fsync) comes as an empty request, which is never issued: the kernel issues a flush request
 * of its own, which is what is measured. A write that asks for a flush is completed a second time when
 * that is done: only the first is the device's.
 *
 * Devices that take bios and make no requests (dm, md, zram) are not seen here.
 */
#include "bpf_common.h"
#include "block_request.bpf.h"
#include "hist.bpf.h"

enum block_phase {
	BLOCK_QUEUE,
	BLOCK_DEVICE,
};

WIRE_BEGIN

struct block_key {
	__u64 cgroup;
	__u32 device;		/* major << 20 | minor */
	__u32 operation;	/* enum block_operation */
	__u32 size;		/* 0: no data; n: up to 4 KiB * 4^(n - 1) */
	__u32 phase;		/* enum block_phase */
	__u32 octave;
	__u32 pad;
};

struct block_stats {
	__u64 captured;		/* requests, of which the device phase is told */
	__u64 without_insert;	/* of them: they have no queue phase */
	__u64 empty_flushes;	/* completed, but never issued */
	__u64 merged;		/* into another request, after they were inserted */
	__u64 requeued;		/* times that a request came back from the driver */
	__u64 lost_unknown_start;	/* issued before ours, or their start found no room */
	__u64 lost_unknown_end;	/* issued, and the next that is seen of them is a new start */
	__u64 lost_in_flight_full;	/* of those, as they were inserted or issued */
	__u64 lost_negative;	/* the clock went back */
	__u64 lost_map_full;	/* a phase that found no room */
};

WIRE_END

enum flight_state {
	FLIGHT_INSERTED,
	FLIGHT_ISSUED,
	FLIGHT_REQUEUED,
	FLIGHT_FLUSHING,	/* its data are completed; what comes is the end of its flush */
};

/* A request under way. */
struct flight {
	__u64 insert_ns;	/* 0: it was not */
	__u64 issue_ns;
	__u64 state;		/* enum flight_state */
	struct block_key key;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct flight);
} in_flight SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GENERATIONS);
	__type(key, __u32);
	__type(value, struct block_stats);
} stats SEC(".maps");

TWO_GENERATIONS(phases, struct block_key, struct fk_octave, 4096);

static __always_inline struct block_stats *current_stats(void)
{
	__u32 generation = fk_generation % GENERATIONS;

	return bpf_map_lookup_elem(&stats, &generation);
}

static __always_inline void issue_flight(struct flight *flight, struct request *rq, __u64 now)
{
	flight->key.device = device_of(rq);
	flight->key.cgroup = issuer_of(rq);
	flight->key.operation = operation_of(rq);
	flight->key.size = size_class(rq->__data_len);
	flight->issue_ns = now;
	flight->state = FLIGHT_ISSUED;
}

/* `before` is what is kept of the request's last flight, if anything. */
static __always_inline void begin_flight(__u64 id, struct flight *before, struct flight *fresh)
{
	struct block_stats *counters = current_stats();

	if (counters && before && before->state == FLIGHT_ISSUED)
		counters->lost_unknown_end++;
	if (bpf_map_update_elem(&in_flight, &id, fresh, 0) && counters)
		counters->lost_in_flight_full++;
}

static __always_inline void add_phase(struct block_stats *counters, __u32 generation,
				      struct block_key *key, __u64 start, __u64 end)
{
	if (start > end)
		counters->lost_negative++;
	else if (add_delay(&phases, generation, key, &key->octave, end - start))
		counters->lost_map_full++;
}

static __always_inline void count_flight(struct block_stats *counters, __u32 generation,
					 struct flight *flight, __u64 now)
{
	struct block_key key = flight->key;

	counters->captured++;
	key.phase = BLOCK_DEVICE;
	add_phase(counters, generation, &key, flight->issue_ns, now);
	if (!flight->insert_ns) {
		counters->without_insert++;
		return;
	}
	key.phase = BLOCK_QUEUE;
	add_phase(counters, generation, &key, flight->insert_ns, flight->issue_ns);
}

SEC("tp_btf/block_rq_insert")
int rq_insert(__u64 *ctx)
{
	__u64 id = (__u64)request_of(ctx);
	struct flight fresh = { .insert_ns = bpf_ktime_get_ns() }, *flight;

	if (!fk_enabled)
		return 0;
	flight = bpf_map_lookup_elem(&in_flight, &id);
	/* It waits since it came back. */
	if (flight && flight->state == FLIGHT_REQUEUED)
		return 0;
	begin_flight(id, flight, &fresh);
	return 0;
}

SEC("tp_btf/block_rq_issue")
int rq_issue(__u64 *ctx)
{
	struct request *rq = request_of(ctx);
	struct flight fresh = {}, *flight;
	__u64 id = (__u64)rq, now = bpf_ktime_get_ns();

	if (!fk_enabled)
		return 0;
	flight = bpf_map_lookup_elem(&in_flight, &id);
	if (flight && (flight->state == FLIGHT_INSERTED || flight->state == FLIGHT_REQUEUED)) {
		issue_flight(flight, rq, now);
	} else {
		issue_flight(&fresh, rq, now);
		begin_flight(id, flight, &fresh);
	}
	return 0;
}

SEC("tp_btf/block_rq_requeue")
int rq_requeue(__u64 *ctx)
{
	__u64 id = (__u64)request_of(ctx);
	struct block_stats *counters;
	struct flight *flight;

	if (!fk_enabled)
		return 0;
	flight = bpf_map_lookup_elem(&in_flight, &id);
	counters = current_stats();
	if (!flight || !counters)
		return 0;
	counters->requeued++;
	if (!flight->insert_ns)
		flight->insert_ns = bpf_ktime_get_ns();
	flight->state = FLIGHT_REQUEUED;
	return 0;
}

SEC("tp_btf/block_rq_merge")
int rq_merge(__u64 *ctx)
{
	__u64 id = (__u64)request_of(ctx);
	struct block_stats *counters = current_stats();

	if (!fk_enabled || !counters)
		return 0;
	if (!bpf_map_delete_elem(&in_flight, &id))
		counters->merged++;
	return 0;
}

/* Told for each part that is completed, before it is taken off the request's length. */
SEC("tp_btf/block_rq_complete")
int BPF_PROG(rq_complete, struct request *rq, int error, unsigned int bytes)
{
	__u32 generation = fk_generation % GENERATIONS;
	struct block_stats *counters;
	struct flight *flight;
	__u64 id = (__u64)rq, now = bpf_ktime_get_ns();

	if (!fk_enabled || bytes < rq->__data_len)
		return 0;
	counters = bpf_map_lookup_elem(&stats, &generation);
	flight = bpf_map_lookup_elem(&in_flight, &id);
	if (!counters)
		return 0;
	if (flight && flight->state == FLIGHT_ISSUED) {
		count_flight(counters, generation, flight, now);
		if (is_in_flush(rq)) {
			flight->state = FLIGHT_FLUSHING;
			return 0;
		}
	} else if (!flight || flight->state != FLIGHT_FLUSHING) {
		if (bytes == 0 && operation_of(rq) == BLOCK_WRITE)
			counters->empty_flushes++;
		else
			counters->lost_unknown_start++;
	}
	if (flight)
		bpf_map_delete_elem(&in_flight, &id);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
