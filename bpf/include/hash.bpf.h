/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* 64-bit content hash of a list of words: one multiplication and shift a word (each step is a
 * bijection, so lists that differ in one word never collide), then the finalizer of MurmurHash3, in
 * the public domain by Austin Appleby.
 */
#ifndef FK_HASH_BPF_H
#define FK_HASH_BPF_H

static __always_inline __u64 hash_word(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 32);
}

static __always_inline __u64 hash_finish(__u64 hash)
{
	hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
	hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ULL;
	return hash ^ (hash >> 33);
}

#endif
