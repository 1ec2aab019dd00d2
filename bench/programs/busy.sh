# bash: a recursive function, arithmetic, patterns and strings; no process is started.
descend() {
  local depth=$1 text=$2 i
  if ((depth == 0)); then
    for ((i = 0; i < 20; i++)); do
      text=${text//a/bb}
      [[ $text =~ ^(x+)b ]] && text=a${text:0:12}
    done
    return
  fi
  descend $((depth - 1)) "$text$depth"
}
while :; do descend 4 xxaaxx; done
