// The thin client of `plainsql lsp`: it starts the server, and VS Code does the rest.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { commands, window, workspace } = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

let client;

/** The command of the settings, that of a virtual environment in a folder, or the one of the PATH. */
function serverCommand() {
  const configured = workspace.getConfiguration("plainsql").get("command", []);
  if (configured.length > 0) {
    return configured;
  }
  const name = process.platform === "win32" ? ["Scripts", "plainsql.exe"] : ["bin", "plainsql"];
  for (const folder of workspace.workspaceFolders ?? []) {
    const program = path.join(folder.uri.fsPath, ".venv", ...name);
    if (fs.existsSync(program)) {
      return [program, "lsp"];
    }
  }
  return ["plainsql", "lsp"];
}

async function start() {
  const [program, ...args] = serverCommand();
  const folder = workspace.workspaceFolders?.[0]?.uri.fsPath;
  const server = { command: program, args, transport: TransportKind.stdio, options: { cwd: folder } };
  client = new LanguageClient("plainsql", "plainsql", server, {
    documentSelector: [
      { scheme: "file", language: "sql" },
      { scheme: "file", pattern: "**/*.sql" },
      { scheme: "file", language: "python" },
    ],
  });
  try {
    await client.start();
  } catch (error) {
    window.showErrorMessage(`plainsql: ${program} does not start: ${error.message}. pip install 'plainsql[lsp]'`);
  }
}

async function stop() {
  const running = client;
  client = undefined;
  if (running?.isRunning()) {
    await running.stop();
  }
}

async function activate(context) {
  context.subscriptions.push(
    commands.registerCommand("plainsql.restart", async () => {
      await stop();
      await start();
    }),
    workspace.onDidChangeConfiguration(async (change) => {
      if (change.affectsConfiguration("plainsql.command")) {
        await stop();
        await start();
      }
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
