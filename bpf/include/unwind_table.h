/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The unwind table of one ELF file: an array map whose values are blocks. Block 0 is the root of a tree of one
 * to three levels; at the last one a row holds a rule, above it the number of the block below:
 *
 *   block 0   pc:   0 | 0x1a40 | 0x3350 ...     Of a block the last row counts whose pc is not above the key.
 *             rule: 1 | 2      | 3 ...          Row 0 of the table has pc 0, so that there is one.
 *
 * pc is relative to the lowest address that the file is loaded at. A return address is looked up at pc - 1.
 * Unused rows have pc 0xffffffff and rule 0. What a rule means is the architecture's: arch/x86_64_rule.h.
 */
#ifndef FK_UNWIND_TABLE_H
#define FK_UNWIND_TABLE_H

enum fk_unwind_table {
	FK_BLOCK_ROWS = 512,
	FK_TABLE_LEVELS = 3,
};

struct fk_unwind_block {
	__u32 pc[FK_BLOCK_ROWS];
	__u32 rule[FK_BLOCK_ROWS];
};

#endif
