// Bars and sparklines of block characters: eighths of a cell across, eighths of a line up.

const across = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const upwards = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/** A bar of at most `columns` cells; anything above 0 shows at least an eighth. */
export function bar(value: number, most: number, columns: number): string {
  if (!(value > 0) || !(most > 0)) return '';
  const eighths = Math.max(1, Math.round((Math.min(value, most) / most) * columns * 8));
  return '█'.repeat(Math.floor(eighths / 8)) + across[eighths % 8]!;
}

/** One character a value, from 0 to the largest; a blank for what is not known. */
export function sparkline(values: readonly (number | undefined)[]): string {
  const most = values.reduce<number>((max, value) => Math.max(max, value ?? 0), 0);
  return values
    .map((value) => {
      if (value === undefined) return ' ';
      const height = most === 0 ? 0 : Math.max(0, value) / most;
      return upwards[Math.min(upwards.length - 1, Math.floor(height * upwards.length))]!;
    })
    .join('');
}
