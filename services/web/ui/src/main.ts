// Every page starts here; the body names it. Of the styles, those for narrow and wide screens and for forced colours come last.

import "./tokens.css";
import "./frame.css";
import "./board.css";
import "./symbol.css";
import "./tables.css";
import "./dashboard.css";
import "./system.css";
import "./account.css";
import "./news.css";
import "./toasts.css";
import "./screens.css";
import "./forced.css";
import * as account from "./account";
import * as board from "./board";
import * as clock from "./clock";
import * as dashboard from "./dashboard";
import * as latency from "./latency";
import { connect } from "./live";
import * as search from "./search";
import * as symbol from "./symbol";
import * as system from "./system";
import * as theme from "./theme";
import { localise } from "./times";
import * as toasts from "./toasts";

/** Of a page without live data: the header shows the state of the connection, and alerts are shown as they open. */
const NOTHING = { symbols: [], kinds: [] } as const;

theme.start();
search.start();
localise(document);
toasts.start();
void clock.keep();
latency.report();

switch (document.body.dataset["page"]) {
  case "account":
    account.start();
    connect(NOTHING, {});
    break;
  case "board":
    board.start();
    break;
  case "dashboard":
    dashboard.start();
    break;
  case "symbol":
    void symbol.start();
    break;
  case "system":
    system.start();
    break;
  default:
    connect(NOTHING, {});
}
