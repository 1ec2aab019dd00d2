// Lists of distinct things whose index is their id.

/** The index of the item with this key; `item` is appended when there is none. */
export function internInto<T>(ids: Map<string, number>, list: T[], key: string, item: T): number {
  let id = ids.get(key);
  if (id === undefined) {
    id = list.length;
    list.push(item);
    ids.set(key, id);
  }
  return id;
}
