// The daemon's log: lines on stderr, with journald's <N> priority when systemd reads them.

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';
export type Log = (level: LogLevel, text: string) => void;

const levels: readonly LogLevel[] = ['error', 'warn', 'info', 'debug'];
const journalPriority = { error: 3, warn: 4, info: 6, debug: 7 } as const;

/** `write` gets whole lines. Control characters in the text are escaped: names of
 *  processes and files are foreign. */
export function createLog(level: LogLevel, write: (line: string) => void): Log {
  const limit = levels.indexOf(level);
  const isJournal = process.env['JOURNAL_STREAM'] !== undefined;
  return (lineLevel, text) => {
    if (levels.indexOf(lineLevel) > limit) return;
    const line = text.replace(
      /[\u0000-\u001f\u007f-\u009f]/g,
      (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
    );
    write(
      isJournal
        ? `<${journalPriority[lineLevel]}>${line}\n`
        : `flamekeeper: ${lineLevel}: ${line}\n`,
    );
  };
}
