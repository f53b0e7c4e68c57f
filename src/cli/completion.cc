#include <unistd.h>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/options.h"

namespace cofferdam::cli {

namespace {

// Options come from the command's own help, so that the script never lags behind.
constexpr char bash_script[] = R"sh(_cofferdam() {{
  local words="{0}" current=${{COMP_WORDS[COMP_CWORD]}} command= word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case " $words " in *" $word "*) command=$word; break ;; esac
  done
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$("${{COMP_WORDS[0]}}" $command --help 2>/dev/null | grep -oE -- '(^|[ ,])--[a-z][a-z-]*')" -- "$current"))
  elif [[ -z $command ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  elif [[ $command != spec && $command != do && $command != create && $command != run ]]; then
    COMPREPLY=($(compgen -W "$("${{COMP_WORDS[0]}}" list --quiet 2>/dev/null)" -- "$current"))
  fi
}}
complete -o default -F _cofferdam cofferdam
)sh";

constexpr char zsh_script[] = R"(#compdef cofferdam
autoload -U +X bashcompinit && bashcompinit
{}
)";

constexpr char fish_line[] = "complete -c cofferdam -n __fish_use_subcommand -f -a {} -d '{}'\n";

}  // namespace

Outcome<int> run_completion(Globals const&, Words const& words) {
  Options options("cofferdam completion", "bash|zsh|fish|words",
                  "Prints the completion script of a shell, or the words that are commands.");
  Words rest;
  if (auto shown = ATTEMPT(parse(options, words, rest))) return *shown;
  if (rest.size() != 1) return refuse("completion: name one shell: bash, zsh or fish");
  std::string names, fish;
  for (auto& c : commands()) {
    names += (names.empty() ? "" : " ") + std::string(c.name);
    fish += fmt::format(fish_line, c.name, c.summary);
  }
  std::string const bash = fmt::format(bash_script, names);
  if (rest[0] == "bash")
    ATTEMPT(print(bash));
  else if (rest[0] == "zsh")
    ATTEMPT(print(fmt::format(zsh_script, bash)));
  else if (rest[0] == "fish")
    ATTEMPT(print(fish));
  else if (rest[0] == "words")
    ATTEMPT(print(names + "\n"));
  else
    return refuse(fmt::format("completion: '{}' is no shell that is known; use bash, zsh or fish", rest[0]));
  return 0;
}

}  // namespace cofferdam::cli
