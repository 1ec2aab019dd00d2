// What vmstat, mpstat, iostat, sar, pidstat and top print, as rows by their titles.

/** The last rows below the last line of titles that has `title` among its words. */
export function toolRows(text: string, title: string): Record<string, string>[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('Average'));
  const at = lines.findLastIndex((line) => line.trim().split(/\s+/).includes(title));
  if (at < 0) return [];
  const titles = lines[at]!.trim().split(/\s+/);
  const rows: Record<string, string>[] = [];
  for (const line of lines.slice(at + 1)) {
    if (line.trim() === '') break;
    const words = line.trim().split(/\s+/);
    // sysstat puts the time before each line, the titles' too.
    rows.push(Object.fromEntries(titles.map((each, i) => [each, words[i] ?? ''])));
  }
  return rows;
}
