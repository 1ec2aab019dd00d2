#!/usr/bin/env node
// The entry of the command line.

import { guardStreams, writeStderr } from './output.js';
import { buildProgram, reportOf } from './program.js';

guardStreams();
try {
  await buildProgram().parseAsync();
} catch (error) {
  const { lines, exitCode } = reportOf(error);
  await writeStderr(lines);
  process.exitCode = exitCode;
}
